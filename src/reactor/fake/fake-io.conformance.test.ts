// The fake Io passes the suite of every level, in virtual time.

import { ioConformance } from "../io-conformance.ts";
import type { Io } from "../io.ts";
import { FakeWorld } from "./fake-world.ts";

const worlds = new WeakMap<Io, FakeWorld>();
const notReal = "the fake's files and sockets are in memory";

ioConformance(
  "fake",
  () => {
    const world = new FakeWorld({ seed: "io-conformance" });
    const { io } = world.process();
    worlds.set(io, world);
    return io;
  },
  {
    lacks: { realFiles: notReal, realSockets: notReal },
    folder: "/disk",
    runUntil: (io, test) => worlds.get(io)?.runUntil(test) ?? test,
  },
);
