/** What NVMe over Fabrics says: names of subsystems and hosts, namespaces, paths. */

import type { CodeList } from "./code-help.ts";

export const NVME_CODES: CodeList = {
  "namespace-exists": {
    means: "The process has a namespace of that NQN with that nsid already.",
    causes: "Two pipes with the same nvmf:// share; nsid is 1 unless given.",
    todo: "Give one of them another nsid= or another NQN.",
  },
  "nqn-invalid": {
    means: "What should be the name of an NVMe subsystem or host is none.",
    causes: "No name after the host, a name without nqn.YYYY-MM.DOMAIN:, more than 223 bytes.",
    todo: "Write for example nvmf://127.0.0.1:4420/nqn.2026-11.io.penstock:vol1.",
  },
  "shared-leg": {
    means: "A leg of a mirror was opened with shared=1.",
    causes: "A mirror that is to be served by two engines, over the same files.",
    todo: "Leave shared=1 out; share the mirror from one engine, and use several paths to that.",
  },
  "uuid-invalid": {
    means: "The option takes a UUID.",
    causes: "A digit that is missing, or braces around it.",
    todo: "Write 36 characters, such as 8f1d1c7e-3a53-4d0a-9a5e-7e6f2b9c4d10, or leave it out.",
  },
};
