/**
 * Codes of files, sockets, memory and the ways to the kernel.
 */

import type { CodeList } from "./code-help.ts";

export const MACHINE_CODES: CodeList = {
  "address-in-use": {
    means: "Somebody else listens at that address and port, or on that socket.",
    causes: "Another server, or another engine or `pipe run` of yours.",
    todo: "Stop it (`ss -ltnp` shows who), take another port, or port 0 for any free one.",
  },
  "address-invalid": {
    means: "The address cannot be listened at or connected to from this machine.",
    causes: "An address of another machine, a folder that does not exist, IPv6 switched off.",
    todo: "Take 127.0.0.1, [::1] or 0.0.0.0; make the socket's folder.",
  },
  "assertion-failed": {
    means: "Penstock has found itself in a state that cannot be: a bug.",
    causes: "A bug in Penstock. It stops rather than risk data.",
    todo: "Report it with the stack. Acknowledged data is safe as after kill -9.",
  },
  "block-size-invalid": {
    means: "The device cannot have that block size.",
    causes: "blocksize=512 on a disk of 4096-byte sectors; a size that is no multiple of it.",
    todo: "Leave blocksize= out, or take the one that the message allows.",
  },
  claimed: {
    means:
      "The file, disk or namespace is in use by somebody else, and two writers would destroy it.",
    causes:
      "Another pipe, engine or program has it open; it is mounted; another mirror has it as a leg.",
    todo: "The message names the holder: close it there. readonly=1 on both shares it for reading.",
  },
  "flush-failed": {
    means: "The last flush failed: what was written since the flush before may be lost.",
    causes: "A disk that fails or is full, a server that has gone.",
    todo: "Look at the kernel's log. Treat the data as it was at the last flush that worked.",
  },
  internal: {
    means: "Something happened that Penstock has no name for: a bug.",
    causes: "A bug in Penstock; the stack is on the engine's standard error.",
    todo: "Report it with the stack.",
  },
  "invalid-file": {
    means: "The path names something that cannot be a disk.",
    causes: "A folder, a socket, a character device, a path that is too long.",
    todo: "Name a regular file or a block device.",
  },
  "io-uring-unavailable": {
    means: "io_uring does not work here.",
    causes:
      "A container's seccomp filter, kernel.io_uring_disabled, an old kernel, a memory limit.",
    todo: "`penstock doctor` tells which. --io portable works everywhere.",
  },
  "key-invalid": {
    means: "What the reference names is no key for `crypt`.",
    causes: "A wrong length, no hexadecimal digits, two equal halves, an end of line too many.",
    todo: "head -c 64 /dev/urandom >disk.key makes one: 64 (or 32) bytes, or as many hex digits.",
  },
  "level-unavailable": {
    means: "The level that was asked for does not work on this machine.",
    causes: "No FFI in this Node, or no io_uring here.",
    todo: "`penstock doctor` tells why; --io auto takes the best that works.",
  },
  "no-memory": {
    means: "There is no buffer left for another connection or request.",
    causes: "Very many connections with a small --buffer-limit.",
    todo: "Raise --buffer-limit, or use fewer connections=. A retry later may work.",
  },
  "not-found": {
    means: "There is no such file.",
    causes: "A spelling mistake; a missing folder; a file that is to be made, without size=.",
    todo: "Add ?size=1GiB to have the file made; make its folder first.",
  },
  "out-of-buffers": {
    means: "The reactor's buffers do not suffice for what every share, mirror or device reserves.",
    causes: "Many pipes on one reactor with a small --buffer-limit.",
    todo: "Raise --buffer-limit, or start with --reactors 2 or more.",
  },
  "out-of-memory": {
    means: "Memory for a device or a buffer could not be had.",
    causes: "A malloc:// larger than the machine's memory, a memory limit of the container.",
    todo: "Take a smaller size or a file.",
  },
  "permission-denied": {
    means: "The operating system refuses it to this user.",
    causes: "A file of somebody else, a port below 1024, a read-only file system.",
    todo: "Change owner or mode, take a port above 1023, add readonly=1, or run as another user.",
  },
  "placement-unsupported": {
    means: "--placement apart needs two reactors.",
    causes: "--reactors is 1.",
    todo: "Add --reactors 2.",
  },
  "reactors-unsupported": {
    means: "That many reactors are not possible here.",
    causes: "The level `portable` has one; or the number is too large.",
    todo: "Take --reactors 1, or a level that `penstock doctor` says has several.",
  },
  "resize-failed": {
    means: "The source of a pipe could not be made larger; it has the size that it had.",
    causes: "A block device that has not grown, a full or read-only file system.",
    todo: "Grow the device first; make room.",
  },
  "resize-unsupported": {
    means: "A pipe cannot get another size while it runs.",
    causes: "A source other than file:// or nvmf://, a mirror, readonly=1, --placement apart.",
    todo: "Close the pipe, resize what is below, open it again.",
  },
  "secret-unreadable": {
    means: "The file or variable that holds a secret cannot be read.",
    causes: "It does not exist, belongs to somebody else, is too large or open to others.",
    todo: "Check path and mode (chmod 600); the engine needs the variable in its environment.",
  },
  "size-mismatch": {
    means: "The file exists, with another size than size= says.",
    causes: "An old file of that name, or a wrong size.",
    todo: "Leave size= out to take the file as it is, or name another file.",
  },
  "slice-invalid": {
    means: "The slice does not lie within what is below it, in whole blocks.",
    causes: "offset= and length= that reach beyond the end, or are no multiple of the block size.",
    todo: "The message names the size and block size that there are.",
  },
  unsupported: {
    means: "The device or file system cannot do that.",
    causes: "direct=1 on tmpfs or at the level portable; an operation that a filter refuses.",
    todo: "Leave the option out.",
  },
};
