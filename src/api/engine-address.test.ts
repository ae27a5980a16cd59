// Tests of an engine's address: both kinds, there and back, and what is refused.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { formatEngineAddress, parseEngineAddress } from "./engine-address.ts";

test("an engine's address is a Unix socket or a host and a port", () => {
  const good = [
    ["unix:/run/p/engine.sock", { kind: "unix", path: "/run/p/engine.sock" }],
    ["unix:rel.sock", { kind: "unix", path: "rel.sock" }],
    ["127.0.0.1:9440", { kind: "tcp", host: "127.0.0.1", port: 9440 }],
    ["[::1]:0", { kind: "tcp", host: "::1", port: 0 }],
    ["node-b.example:65535", { kind: "tcp", host: "node-b.example", port: 65_535 }],
  ] as const;
  for (const [text, address] of good) {
    deepStrictEqual(parseEngineAddress(text), address);
    strictEqual(formatEngineAddress(address), text);
  }
  deepStrictEqual(parseEngineAddress("/run/e.sock"), { kind: "unix", path: "/run/e.sock" });
  deepStrictEqual(parseEngineAddress("./e.sock"), { kind: "unix", path: "./e.sock" });
  deepStrictEqual(parseEngineAddress("http://localhost:9440/"), {
    kind: "tcp",
    host: "localhost",
    port: 9440,
  });
});

test("anything else is refused with what was expected", () => {
  const bad = ["", "unix:", "host", "host:", ":9440", "https://h:1", "::1:80", "a b:1"];
  for (const text of bad) {
    throws(() => parseEngineAddress(text), {
      code: "engine-address-invalid",
      message: /expected unix:PATH or HOST:PORT/,
    });
  }
  throws(() => parseEngineAddress("host:65536"), {
    code: "engine-address-invalid",
    message: /found port 65536, expected at most 65535/,
  });
  throws(() => parseEngineAddress(`unix:/${"x".repeat(107)}`), {
    code: "engine-address-invalid",
    message: /108 bytes, expected at most 107/,
  });
});
