/** What NVMe over Fabrics says: names of subsystems and hosts, namespaces, paths. */

import type { CodeList } from "./code-help.ts";

export const NVME_CODES: CodeList = {
  "authentication-required": {
    means: "The server wants the host to prove who it is.",
    causes: "A subsystem with in-band authentication, which is not yet in this version.",
    todo: "Allow the host without it, on that server.",
  },
  "connect-refused": {
    means: "A server's subsystem did not let us connect a queue.",
    causes: "Too many controllers, queues or hosts; a server that is stopping.",
    todo: "See the status in the message; the server's log may say more.",
  },
  "controller-error": {
    means: "A controller has answered a command of its own set-up with an error.",
    causes: "A server that lacks what NVMe over Fabrics demands, or is ill.",
    todo: "See the status in the message; `penstock explain` has no more than that.",
  },
  "format-unsupported": {
    means: "The namespace has blocks that cannot be used.",
    causes: "Blocks of other than 512 or 4096 bytes, or with metadata.",
    todo: "Format it with one of these block sizes, without metadata.",
  },
  "host-connected": {
    means: "An NVMe host has connected to a subsystem.",
    causes: "`nvme connect`, or a host that comes back after an outage.",
    todo: "Nothing. `penstock share list` shows who is there.",
  },
  "host-disconnected": {
    means: "An NVMe host is gone; what it had sent has ended or is ending.",
    causes: "`nvme disconnect`, a lost connection, silence for longer than its keep-alive time.",
    todo: "Nothing, if it was meant; else look at the host and the network between.",
  },
  "host-refused": {
    means: "The server does not let this host use that subsystem.",
    causes: "A list of allowed hosts on the server (hosts= on a share of ours).",
    todo: "Allow our host NQN there, or say hostnqn= as it is allowed.",
  },
  "namespace-exists": {
    means: "The process has a namespace of that NQN with that nsid already.",
    causes: "Two pipes with the same nvmf:// share; nsid is 1 unless given.",
    todo: "Give one of them another nsid= or another NQN.",
  },
  "namespace-unknown": {
    means: "The subsystem has no namespace of that nsid.",
    causes: "A wrong nsid=, a namespace that was taken away.",
    todo: "List them with `penstock share list` or `nvme list-ns`; without nsid= it is the first.",
  },
  "nqn-invalid": {
    means: "What should be the name of an NVMe subsystem or host is none.",
    causes: "No name after the host, a name without nqn.YYYY-MM.DOMAIN:, more than 223 bytes.",
    todo: "Write for example nvmf://127.0.0.1:4420/nqn.2026-11.io.penstock:vol1.",
  },
  "reservations-damaged": {
    means: "The file that keeps a namespace's reservations cannot be used.",
    causes: "It is torn, of another namespace, or no such file at all.",
    todo: "Give another path with reservations=; remove the file if no host relies on it.",
  },
  "reservations-failed": {
    means: "The file that keeps a namespace's reservations could not be read or written.",
    causes: "A folder that is not there, no permission, a full file system.",
    todo: "See the message; hosts cannot change reservations until it works.",
  },
  "shared-leg": {
    means: "A leg of a mirror was opened with shared=1.",
    causes: "A mirror that is to be served by two engines, over the same files.",
    todo: "Leave shared=1 out; share the mirror from one engine, and use several paths to that.",
  },
  "subsystem-differs": {
    means: "Two namespaces of one NQN say different things of their subsystem.",
    causes: "hosts=, serial=, mdts= or the like given differently in two shares.",
    todo: "Say it alike, or in the first one only.",
  },
  "subsystem-unknown": {
    means: "The server has no subsystem of that NQN.",
    causes: "A misspelt NQN, a share that is not open.",
    todo: "Ask it what it has: `penstock nvme discover nvmf://HOST:PORT`.",
  },
  "uuid-invalid": {
    means: "The option takes a UUID.",
    causes: "A digit that is missing, or braces around it.",
    todo: "Write 36 characters, such as 8f1d1c7e-3a53-4d0a-9a5e-7e6f2b9c4d10, or leave it out.",
  },
};
