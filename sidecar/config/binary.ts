/** Protobuf in and out; see `binary-decode.ts` and `binary-encode.ts`. */
export { BinaryDecoder, OpaqueMessage } from './binary-decode.ts'
export { anyBytes, type Encodable, encodeBinary, encodeMessage } from './binary-encode.ts'
