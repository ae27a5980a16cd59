// Tests of the posix level: the suite of every level, and what only this one promises.

import { ioConformance } from "./io-conformance.ts";
import { PosixIo } from "./posix-io.ts";

ioConformance("posix", () => new PosixIo());
ioConformance("posix without polling", () => new PosixIo({ spinMsMax: 0 }));
ioConformance("posix on a thread of others", () => new PosixIo({ sharesThread: true }));
