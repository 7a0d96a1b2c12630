package service

import (
	"net"
	"strconv"
	"syscall"
	"time"
)

// held keeps open what fills the queue of a black hole.
var held []net.Conn

// BlackHole makes port one that nobody can connect to and that does not say so: its queue is as short as the kernel makes
// one, filled for good, and never emptied, so that the kernel drops whatever else comes. It stands for a firewall that
// swallows packets.
func BlackHole(port int) error {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	// A service that was started again finds connections of the last one still closing.
	if err := syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Port: port}); err != nil {
		return err
	}
	if err := syscall.Listen(socket, 0); err != nil {
		return err
	}
	for {
		connection, err := net.DialTimeout("tcp", "127.0.0.1:"+strconv.Itoa(port), 300*time.Millisecond)
		if err != nil {
			// Full.
			return nil
		}
		held = append(held, connection)
	}
}
