"""What the tests share: a platform on a socket, the server as a process, and clients."""
