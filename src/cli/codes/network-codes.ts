/**
 * Codes of other machines' exports, and of requests to devices (the statuses of the data path).
 */

import type { CodeList } from "./code-help.ts";

export const NETWORK_CODES: CodeList = {
  aborted: {
    means: "It was given up before it was done.",
    causes: "A pipe or device that is being closed, a connection that ended.",
    todo: "Try it again.",
  },
  "child-read-only": {
    means: "Some children of a mirror are read-only, and others are not.",
    causes: "readonly=1 on some of them; a server that offers its export read-only.",
    todo: "Make all alike.",
  },
  closed: {
    means: "The connection was closed as asked for.",
    causes: "A device that was closed.",
    todo: "Nothing.",
  },
  "compare-failed": {
    means: "A compare found other data.",
    causes: "Somebody else has written there.",
    todo: "Read, decide, try again: that is what compare-and-write is for.",
  },
  "connection-failed": {
    means: "No connection could be made, or it broke while it was made.",
    causes: "A network or firewall in between, a server that hangs up.",
    todo: "Check host and port with nbdinfo, and the server's log.",
  },
  "connection-lost": {
    means: "The connection to a server has ended while it was used.",
    causes: "The server was stopped or killed, the network failed, no answer in time.",
    todo: "An nbd:// source connects again for ride-out=60s; a mirror takes the leg out.",
  },
  "connection-refused": {
    means: "Nobody listens there.",
    causes: "The server is not running, or on another port or socket.",
    todo: "Start it, or correct the address.",
  },
  "connection-timeout": {
    means: "Nobody has answered in time.",
    causes: "A wrong address, a firewall that drops, an overloaded server.",
    todo: "Check with nbdinfo; connect-timeout= gives it longer.",
  },
  "data-lost": {
    means: "A flush cannot vouch for writes before it: the server has lost its memory meanwhile.",
    causes: "The other machine was restarted, or its server was and does not say who it is.",
    todo: "What uses the disk must treat it as after a power failure: fsck, journal, or a copy.",
  },
  "export-refused": {
    means: "The server does not want to serve that export to us.",
    causes: "Access lists, an export in use, a name that is not there.",
    todo: "nbdinfo --list nbd://HOST:PORT shows what there is.",
  },
  "export-unknown": {
    means: "The server has no export of that name.",
    causes: "A spelling mistake; most servers have an export without a name: nbd://HOST/.",
    todo: "nbdinfo --list nbd://HOST:PORT shows what there is.",
  },
  fenced: {
    means: "Somebody newer writes here now.",
    causes: "Another controller has taken the volume over.",
    todo: "Stop this one.",
  },
  invalid: {
    means: "A request that makes no sense.",
    causes: "A client's bug, or an operation outside the protocol.",
    todo: "Report it with the client's name.",
  },
  "media-error": {
    means: "The disk below could not read or write there.",
    causes: "A failing disk, or a `fault` stage.",
    todo: "Look at the kernel's log; replace the disk. A mirror goes on with its other children.",
  },
  misaligned: {
    means: "Offset or length is no multiple of the block size.",
    causes: "A library's call with odd numbers.",
    todo: "Use multiples of device.blockSize.",
  },
  "no-space": {
    means: "The disk or file system below is full, or the quota is.",
    causes: "A sparse file that grows on a full disk.",
    todo: "Free space; writes then work again.",
  },
  "not-nbd": {
    means: "Who answers there does not speak NBD.",
    causes: "Another service on that port.",
    todo: "Correct the address.",
  },
  "not-ready": {
    means: "The device is not there at the moment.",
    causes: "A mirror without a child that is in sync, a reactor that is stopping.",
    todo: "`penstock device list` and `penstock events` tell why.",
  },
  "out-of-range": {
    means: "The range lies outside of the device, or the number outside of what is allowed.",
    causes: "A disk that is smaller than expected.",
    todo: "The message names the size.",
  },
  "path-lost": {
    means: "The way to the device is lost.",
    causes: "Its server is gone for longer than ride-out=.",
    todo: "Bring the server back; the source connects again.",
  },
  protocol: {
    means: "The other side breaks the NBD protocol.",
    causes: "A bug of the other side, or something in between that changes bytes.",
    todo: "Report it with the server's name and version.",
  },
  "protocol-error": {
    means: "The other side breaks the NBD protocol while the connection is made.",
    causes: "A bug of the other side, an old server without fixed newstyle.",
    todo: "Report it with the server's name and version.",
  },
  "read-only": {
    means: "A change of something that is read-only.",
    causes: "readonly=1, or a server that offers its export so.",
    todo: "Leave readonly=1 out, or do not write.",
  },
  "reservation-conflict": {
    means: "Another host has reserved the device.",
    causes: "A cluster that uses reservations.",
    todo: "Release the reservation there.",
  },
  "server-stopping": {
    means: "The server says that it is about to stop.",
    causes: "It is being stopped or restarted.",
    todo: "Wait: the connection is tried again.",
  },
  timeout: {
    means: "There was no answer in time.",
    causes: "A disk or server that hangs, or is far too busy.",
    todo: "timeout= gives it longer. A mirror takes a leg out that does not answer.",
  },
  "tls-required": {
    means: "The server insists on TLS, which Penstock does not speak yet.",
    causes: "The server's configuration.",
    todo: "Allow plain connections on a private network or socket, or use a tunnel.",
  },
  "transfer-size-invalid": {
    means: "The server takes less than one block at a time.",
    causes: "A server with odd block sizes.",
    todo: "Change the server's block sizes.",
  },
};
