// `device list` and `share list`: what they print of an engine that is at work.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { PENSTOCK, startEngine, startPenstock } from "../../src/testing/penstock-process.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const MIB = 2 ** 20;

test("listings show every device and share, as a table, JSON and YAML", async (t) => {
  const engine = await startEngine(t, makeTempDir(t));
  const leg = await startPenstock(t, "malloc:///far?size=8MiB | nbd://127.0.0.1:0/far");
  const run = async (...args: readonly string[]): Promise<string> => {
    const { stdout } = await runCommand(PENSTOCK, [...args, "--engine", engine.uri]);
    return stdout;
  };
  strictEqual(await run("share", "list", "-o", "json"), "[]\n");
  const mirror = `mirror(malloc:///near?size=8MiB | delay#slow?time=1ms, ${leg.uri})?timeout=10s`;
  const ready = await run("pipe", "create", "vol1", `${mirror} | nbd://127.0.0.1:0/vol1`);
  const uri = ready.trim().slice("ready ".length);
  await run("pipe", "create", "ro", "null:///n?size=1MiB&readonly=1 | nbd://127.0.0.1:0/ro");

  const devices = JSON.parse(await run("device", "list", "-o", "json"));
  const facts = devices.map((each: Record<string, unknown>) =>
    ["pipe", "stage", "kind", "state", "sizeBytes", "readOnly"].map((key) => each[key]),
  );
  deepStrictEqual(facts, [
    ["vol1", "1.1.1", "malloc", "in-sync", 8 * MIB, false],
    ["vol1", "slow", "delay", "in-sync", 8 * MIB, false],
    ["vol1", "1.2.1", "nbd", "in-sync", 8 * MIB, false],
    ["vol1", "1", "mirror", "ready", 8 * MIB, false],
    ["ro", "1", "null", "ready", MIB, true],
  ]);
  match(await run("device", "list", "-o", "yaml"), /^- pipe: vol1\n {2}stage: 1\.1\.1\n/);
  const shares = JSON.parse(await run("share", "list", "-o", "json"));
  deepStrictEqual(shares[0], {
    pipe: "vol1",
    uri,
    sizeBytes: 8 * MIB,
    readOnly: false,
    details: { protocol: "nbd", connections: 0 },
    text: "nbd://127.0.0.1:0/vol1",
  });
  match(
    await run("share", "list"),
    /^PIPE +URI +SIZE +MODE +SUBSYSTEM .*\nvol1 .* read-write +- +- +0 +-\nro .* read-only .*\n$/,
  );

  // A relative path is the typing shell's, not the engine's.
  const folder = makeTempDir(t);
  await runCommand(
    PENSTOCK,
    ["pipe", "create", "here", "./h.img?size=1MiB | nbd://127.0.0.1:0/h"],
    {
      cwd: folder,
      environment: { PENSTOCK_ENGINE: engine.uri },
    },
  );
  strictEqual(statSync(join(folder, "h.img")).size, MIB);

  // A leg that is lost, once a client's write finds it out.
  await leg.stop("SIGKILL");
  const client = await NbdRawClient.open(uri);
  await client.write(4096, Buffer.alloc(4096, 1));
  await client.disconnect();
  match(
    await run("device", "list"),
    /^vol1 +1\.2\.1 +nbd +faulted: \S+ write of 4096 bytes at 4096/m,
  );
  match(await run("device", "list"), /^vol1 +slow +delay +in-sync +8MiB/m);
});

test("a reader that has seen enough ends a command quietly", async () => {
  const line = 'set -o pipefail; "$PENSTOCK" explain | head -1; "$PENSTOCK" pipe run --help | :';
  const { stdout, stderr } = await runCommand("bash", ["-c", line], { environment: { PENSTOCK } });
  match(stdout, /^CODE +MEANING\n$/);
  strictEqual(stderr, "");
});

test("output that cannot be written is a line of error; a bench's reader may leave", async () => {
  const options = { environment: { PENSTOCK }, exitCode: "any" } as const;
  const bench = '"$PENSTOCK" bench "null:///n?size=1MiB" --time 50ms --warm-up 10ms';
  for (const command of ['"$PENSTOCK" doctor', '"$PENSTOCK" explain', bench]) {
    const full = await runCommand("bash", ["-c", `${command} >/dev/full`], options);
    strictEqual(full.exitCode, 1, command);
    match(full.stderr, /^penstock: output-failed: .*ENOSPC.*\n$/);
  }
  const left = await runCommand("bash", ["-c", `set -o pipefail; ${bench} | :`], options);
  strictEqual(left.stderr, "");
  strictEqual(left.exitCode, 0);
});
