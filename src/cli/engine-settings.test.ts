// Tests of an engine's settings: which goes before which, and what a wrong one is told.

import { deepStrictEqual, rejects } from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Command } from "commander";
import { makeTempDir } from "../testing/temp-dir.ts";
import { addDaemonOptions } from "./engine-options.ts";
import { applySettings } from "./engine-settings.ts";
import { addRunOptions } from "./run-options.ts";

type Environment = Readonly<Record<string, string>>;

async function settle(
  t: TestContext,
  {
    args = [],
    environment = {},
    file,
  }: { args?: string[]; environment?: Environment; file?: string },
): Promise<Record<string, unknown>> {
  const command = new Command("engine").exitOverride().option("--data-dir <dir>");
  addDaemonOptions(addRunOptions(command.option("--listen <address...>")));
  const path = join(makeTempDir(t), "engine.yaml");
  if (file !== undefined) writeFileSync(path, file);
  command.parse(file === undefined ? args : [...args, "--config", path], { from: "user" });
  await applySettings(command, environment);
  const { config: _config, ...options } = command.opts();
  return options;
}

const FILE = `# all of them
data-dir: /srv/penstock
listen: [unix:/run/p.sock, "127.0.0.1:9440"]
io: portable
reactors: 2
placement: together
buffer-limit: 64MiB
spin: 60us
pool-cache: 8MiB
rpc-nice: 3
stop-on-stdin-end: true
supervisor: false
log-level: warning
log-format: json
`;

test("a file gives every option its value, checked and read as when typed", async (t) => {
  deepStrictEqual(await settle(t, { file: FILE }), {
    dataDir: "/srv/penstock",
    listen: ["unix:/run/p.sock", "127.0.0.1:9440"],
    io: "portable",
    reactors: 2,
    placement: "together",
    bufferLimit: 64 * 2 ** 20,
    spin: 0.06,
    poolCache: 8 * 2 ** 20,
    rpcNice: 3,
    stopOnStdinEnd: true,
    supervisor: false,
    logLevel: "warning",
    logFormat: "json",
  });
});

test("what is typed goes before the environment, and that before the file", async (t) => {
  const environment = {
    PENSTOCK_REACTORS: "4",
    PENSTOCK_LOG_LEVEL: "debug",
    PENSTOCK_LISTEN: "[::1]:5, unix:/x",
    PENSTOCK_SUPERVISOR: "true",
    PENSTOCK_SPIN: "",
  };
  const args = ["--log-level", "error", "--data-dir", "/typed"];
  const { reactors, logLevel, listen, supervisor, spin, dataDir } = await settle(t, {
    args,
    environment,
    file: FILE,
  });
  deepStrictEqual(
    [reactors, logLevel, listen, supervisor, spin, dataDir],
    [4, "error", ["[::1]:5", "unix:/x"], true, 0.06, "/typed"],
  );
  deepStrictEqual((await settle(t, { file: "" })).reactors, 1);
});

test("a wrong setting is named, with what was found and what was expected", async (t) => {
  const refused: readonly (readonly [string, RegExp])[] = [
    ["reactors: 99", /engine\.yaml:1: reactors: found 99\. Expected a number from 1 to 64\.$/],
    ["io: auto\nreactors: two", /engine\.yaml:2: reactors: found "two"\./],
    ["reactors: [1]", /reactors: found \[1\], expected a value$/],
    ["reactors: 2.5", /reactors: found 2\.5/],
    ["reactors:", /reactors: found nothing, expected a value$/],
    [
      "reactor: 2",
      /there is no such setting \(did you mean "reactors"\?\), expected one of data-dir/,
    ],
    ["config: other.yaml", /there is no such setting/],
    ["placement: here", /placement: found "here"\. Allowed choices are together, apart\.$/],
    ["spin: 60", /spin: found 60\. .*unit/],
    ["buffer-limit: 1KiB", /buffer-limit: found "1KiB"/],
    ["pool-cache: 1KiB", /pool-cache: found "1KiB"/],
    ["rpc-nice: 20", /rpc-nice: found 20\. Expected a number from 0 to 19\.$/],
    ["rpc-nice: -1", /rpc-nice: found -1\. Expected a number from 0 to 19\.$/],
    ["supervisor: maybe", /supervisor: found "maybe", expected true or false$/],
    ["listen: []", /listen: found \[\], expected 1 to 64 words$/],
    [
      "io: auto\nlisten: foo",
      /engine\.yaml:2: listen: found "foo", expected unix:PATH or HOST:PORT/,
    ],
    ["metrics: [unix:/x, 127.0.0.1:99999]", /metrics: found port 99999, expected at most 65535$/],
    ["listen: {a: 1}", /listen: found \[?\{"a":1\}/],
    ["log-level: loud", /log-level: found "loud"\. Allowed choices are debug, info/],
    ["reactors: 1\nreactors: 2", /engine\.yaml:2:1: Map keys must be unique/],
    ["reactors: {", /engine\.yaml:\d+:\d+: /],
    ["- reactors", /expected lines of the form/],
    [`io: ${"x".repeat(70_000)}`, /found 70004 bytes, expected at most 65536$/],
  ];
  for (const [file, message] of refused) {
    await rejects(settle(t, { file }), { code: "setting-invalid", message }, file.slice(0, 40));
  }
  const environment = { PENSTOCK_REACTORS: "0" };
  await rejects(settle(t, { environment }), {
    code: "setting-invalid",
    message: /^PENSTOCK_REACTORS: found "0"\. Expected a number from 1 to 64\.$/,
  });
  await rejects(settle(t, { args: ["--config", "/nowhere/engine.yaml"] }), {
    code: "setting-invalid",
    message: /^\/nowhere\/engine\.yaml: cannot be read: ENOENT/,
  });
  await rejects(settle(t, { args: ["--config", "/dev/zero"] }), {
    code: "setting-invalid",
    message: /^\/dev\/zero: found more than 65536 bytes$/,
  });
});

test("the example of the documentation is one", async (t) => {
  const page = readFileSync(join(import.meta.dirname, "../../docs/operations/engine.md"), "utf8");
  const example = /^ {4}# \S+engine\.yaml\n(?: {4}.*\n)+/m.exec(page)?.[0] ?? "";
  const { listen, dataDir } = await settle(t, { file: example.replaceAll(/^ {4}/gm, "") });
  deepStrictEqual(
    [listen, dataDir],
    [["unix:/run/penstock.sock", "127.0.0.1:9440"], "/var/lib/penstock"],
  );
});
