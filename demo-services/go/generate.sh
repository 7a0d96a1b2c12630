#!/bin/sh
# Makes chain/*.pb.go anew from chain.proto. Needs Go and protoc (any of the last years).
set -eu
cd "$(dirname "$0")"
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
GOBIN=$tools go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
GOBIN=$tools go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.1
here=hopwise.example/demo
PATH=$tools:$PATH protoc -I .. chain.proto \
  --go_out=. --go_opt="module=$here,Mchain.proto=$here/chain" \
  --go-grpc_out=. --go-grpc_opt="module=$here,Mchain.proto=$here/chain"
