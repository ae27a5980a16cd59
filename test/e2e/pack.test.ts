// `npm pack` gives a package that installs in an empty folder, and runs there at every level.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, before, test } from "node:test";
import { REPOSITORY_ROOT } from "../../src/testing/penstock-process.ts";
import { type CommandResult, runCommand } from "../../src/testing/run-command.ts";

const NPM_FLAGS = ["--offline", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
const NPM_TIMEOUT_MS = 300_000;
const QUIET = "--disable-warning=ExperimentalWarning";

interface LockedPackage {
  readonly dependencies?: Readonly<Record<string, string>>;
}

const folder = mkdtempSync(join(tmpdir(), "penstock-pack-"));
const app = join(folder, "app");
const installed = join(app, "node_modules", "penstock");

/** What the package needs, all the way down. */
function dependencies(): string[] {
  const path = join(REPOSITORY_ROOT, "package-lock.json");
  const { packages } = JSON.parse(readFileSync(path, "utf8")) as {
    packages: Record<string, LockedPackage>;
  };
  const found = new Set<string>();
  const visit = (path: string): void => {
    for (const name of Object.keys(packages[path]?.dependencies ?? {})) {
      if (found.has(name)) continue;
      found.add(name);
      visit(`node_modules/${name}`);
    }
  };
  visit("");
  return [...found];
}

/** A package's folder to install from: as the registry has it, so without the binary of Node. */
function sourceOf(name: string): string {
  const path = join(REPOSITORY_ROOT, "node_modules", name);
  if (name !== "node") return path;
  const copy = join(folder, "node-package");
  const filter = (source: string): boolean =>
    source === path || !["bin", "node_modules"].includes(source.slice(path.length + 1));
  cpSync(path, copy, { recursive: true, filter });
  return copy;
}

/** Another Node than the tree's, when the machine has one. */
function otherNode(): string | undefined {
  for (const place of (process.env.PATH ?? "").split(delimiter)) {
    if (place.includes("node_modules")) continue;
    const path = join(place, "node");
    if (!existsSync(path)) continue;
    const version = spawnSync(path, ["--version"], { encoding: "utf8" }).stdout.trim();
    if (version !== process.version) return path;
  }
  return undefined;
}

function penstock(...args: readonly string[]): Promise<CommandResult> {
  return runCommand(join(app, "node_modules", ".bin", "penstock"), args, { cwd: app });
}

/** Everything below the package, sorted. */
function filesOfPackage(): string[] {
  return readdirSync(installed, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(installed.length + 1))
    .sort();
}

before(async () => {
  const pack = ["pack", "--pack-destination", folder, "--loglevel=error"];
  await runCommand("npm", pack, { cwd: REPOSITORY_ROOT, timeoutMs: NPM_TIMEOUT_MS });
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz")) ?? "";
  mkdirSync(app);
  writeFileSync(join(app, "package.json"), '{ "name": "app", "type": "module" }\n');
  // No registry: what the package needs is installed from this tree's own copies.
  const sources = dependencies().map(sourceOf);
  const args = ["install", ...NPM_FLAGS, "--install-links", join(folder, tarball), ...sources];
  await runCommand("npm", args, { cwd: app, timeoutMs: NPM_TIMEOUT_MS });
  // Its types are erased by hand: an older Node cannot.
  cpSync(join(REPOSITORY_ROOT, "examples/nexus.ts"), join(app, "nexus.mjs"));
});

after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

test("the package has what runs and what says what it is, and nothing else", () => {
  const files = filesOfPackage();
  const others = files.filter((path) => !/^dist\/.*\.js$/.test(path));
  deepStrictEqual(others, [
    "LICENSE",
    "README.md",
    "bin/penstock",
    "dist/index.d.ts",
    "dist/library/public-types.d.ts",
    "dist/util/errors.d.ts",
    "package.json",
  ]);
  // The fakes are what `penstock simulate` runs on.
  const ours = files.filter((path) => /\.test\.|testing\/|\.ts$/.test(path));
  deepStrictEqual(
    ours.filter((path) => !path.endsWith(".d.ts")),
    [],
  );
});

test("the example runs on Node 26 without flags, at every level", async () => {
  for (const level of ["uring", "portable"]) {
    const data = mkdtempSync(join(folder, "data-"));
    const { stdout, stderr } = await runCommand(process.execPath, ["nexus.mjs", data], {
      cwd: app,
      environment: { PENSTOCK_IO: level, NODE_OPTIONS: "" },
    });
    match(stdout, /all three children hold the same\n$/);
    // Node's own warning is all that is said.
    strictEqual(/FFI is an experimental feature/.test(stderr), level === "uring");
  }
});

const older = otherNode();
if (older !== undefined) {
  test("the example runs on another Node, where the level is portable by itself", async () => {
    const data = mkdtempSync(join(folder, "data-"));
    const environment = { PENSTOCK_IO: "auto", NODE_OPTIONS: "" };
    const options = { cwd: app, environment };
    const { stdout } = await runCommand(older, ["nexus.mjs", data], options);
    match(stdout, /all three children hold the same\n$/);
    const program = `
      const { open } = await import("penstock");
      const device = await open("malloc:///m?size=1MiB");
      console.log(device.info.level, device.info.levelReason);
      await device.close();`;
    const shown = await runCommand(older, ["--input-type=module", "--eval", program], options);
    match(shown.stdout, /^portable node:ffi: /);
  });
}

test("the command line runs from the package, with and without its own Node", async () => {
  ok(!existsSync(join(app, "node_modules", "node", "bin", "node")));
  const npx = await runCommand("npx", ["--no-install", "penstock", "doctor"], { cwd: app });
  match(npx.stdout, /^node {2,}v\d/m);
  const pipe = `${join(folder, "cli.img")}?size=1MiB | nbd://127.0.0.1:0/x`;
  const run = ["pipe", "run", "--stop-on-stdin-end"];
  match((await penstock(...run, "--io", "portable", pipe)).stdout, /^ready nbd:.*\/x\n$/);
  mkdirSync(join(app, "node_modules", "node", "bin"), { recursive: true });
  symlinkSync(process.execPath, join(app, "node_modules", "node", "bin", "node"));
  match((await penstock("doctor")).stdout, new RegExp(`^node {2,}${process.version} `, "m"));
  const apart = ["--io", "uring", "--reactors", "2", "--placement", "apart"];
  match((await penstock(...run, ...apart, pipe)).stdout, /^ready nbd:.*\/x\n$/);
  match((await penstock("--version")).stdout, /^\d+\.\d+\.\d+\n$/);
});

test("a program that uses the package is type-checked against its declarations", async () => {
  writeFileSync(join(app, "consumer.ts"), CONSUMER);
  const settings = {
    module: "nodenext",
    target: "es2024",
    lib: ["es2024"],
    strict: true,
    noEmit: true,
    skipLibCheck: false,
    types: [],
  };
  const config = { compilerOptions: settings, files: ["consumer.ts"] };
  writeFileSync(join(app, "tsconfig.json"), JSON.stringify(config));
  const compiler = join(REPOSITORY_ROOT, "node_modules", ".bin", "tsc");
  const { stdout } = await runCommand(compiler, ["-p", app], { cwd: app, exitCode: "any" });
  strictEqual(stdout, "");
  const program = ["--input-type=module", "--eval", "await import('penstock/dist/index.js')"];
  const inside = await runCommand(process.execPath, [QUIET, ...program], {
    cwd: app,
    exitCode: "any",
  });
  match(inside.stderr, /ERR_PACKAGE_PATH_NOT_EXPORTED/);
});

const CONSUMER = `
import { open, type OpenOptions, PenstockError, type PenstockDevice } from "penstock";

const options: OpenOptions = { level: "portable", onEvent: (event) => void event.code.length };
const device: PenstockDevice = await open("malloc:///m?size=1MiB", options);
const fresh: Uint8Array = await device.readAt(512, 0);
using buffer = device.allocate(4096);
const same: typeof buffer = await device.readAt(buffer, 0);
await device.writeAt(fresh, 0, { fua: true });
const extents: boolean[] = (await device.blockStatus(0, 512)).map(({ hole }) => hole);
const text: string = (await device.insert("limit?iops=5")).stages[0]?.text ?? "";
// @ts-expect-error an offset is a number
await device.readAt(512, "0");
// @ts-expect-error there is no such level
await open("x", { level: "fast" });
// @ts-expect-error its size is fixed
device.size = 5;
await device.close().catch((error: unknown) => error instanceof PenstockError && error.code);
export { extents, same, text };
`;
