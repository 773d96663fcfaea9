"""A program in place of `python …`: has the fork server start the process, and is to whoever started it what that process is.

Its arguments are the name of the fork server's socket and what would follow `python`. It hands over its descriptors, arguments,
environment, working directory and umask, passes signals on, and ends as the process does. It is started a thousand times, with
`python -I -S`, and so imports hardly anything but what the interpreter has loaded.
"""

import _signal  # type: ignore[import-not-found]  # typeshed leaves it out; `signal` costs as much as all the rest
import _socket
import posix
import sys

PASSED_ON = {_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP}

HARMLESS = {b"PYTHONDONTWRITEBYTECODE", b"PYTHONHASHSEED", b"PYTHONUNBUFFERED"}
"""What Python reads as it starts, and changes nothing that is tested. With any other of its variables, it is started anew."""


def main() -> None:
    environment = dict(posix.environ)
    if any(name.startswith(b"PYTHON") and name not in HARMLESS for name in environment):
        posix.execv(sys.executable, [sys.executable, *sys.argv[2:]])

    _signal.pthread_sigmask(_signal.SIG_BLOCK, PASSED_ON)  # until there is a process to pass them on to
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    server.connect(b"\0" + sys.argv[1].encode())
    mask = posix.umask(0)
    variables = [name + b"=" + value for name, value in environment.items()]
    arguments = [argument.encode("utf-8", "surrogateescape") for argument in sys.argv[2:]]
    request = b"\0".join([posix.getcwdb(), b"%d" % mask, b"%d" % len(arguments), *arguments, *variables])
    descriptors = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
    # The request itself is no single message: an environment may be larger than one.
    server.sendmsg(
        [len(request).to_bytes(4, "big"), posix.getpid().to_bytes(4, "big")],
        [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)],
    )
    for start in range(0, len(request), 32768):
        server.send(request[start : start + 32768])
    for number in (0, 1, 2):  # end of file and broken pipes are seen only once nobody else holds the other end
        posix.close(number)
    for each in PASSED_ON:
        _signal.signal(each, lambda number, _frame: server.send(bytes([number])))
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, PASSED_ON)

    status = int.from_bytes(server.recv(4), "big")
    if posix.WIFSIGNALED(status):
        number = posix.WTERMSIG(status)
        if number != _signal.SIGKILL:
            _signal.signal(number, _signal.SIG_DFL)
        posix.kill(posix.getpid(), number)
    posix._exit(posix.waitstatus_to_exitcode(status))


main()
