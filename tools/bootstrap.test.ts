// Tests of bin/penstock and tools/bootstrap.mjs in a skeleton of a clone: what they run, with which
// pid, exit code and signals, and when they install. npm is a stub that links our node_modules.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { type TestContext, test } from "node:test";
import { ROOT } from "./source-tree.ts";

/** Says what it is on one line, then does what its first argument says. */
const STUB_PROGRAM = `
const [verb, code] = process.argv.slice(2);
const { pid, version, execArgv } = process;
if (verb === "wait") process.on("SIGTERM", () => process.exit(Number(code)));
const args = process.argv.slice(2);
process.stdout.write(JSON.stringify({ pid, version, execArgv, args }) + "\\n");
if (verb === "exit") process.exit(Number(code));
if (verb === "wait") setInterval(() => {}, 1000);
`;

const WITHOUT_EXECVE = ["--import", "data:text/javascript,delete process.execve"];

interface Clone {
  readonly root: string;
  readonly env: NodeJS.ProcessEnv;
  npmCalls(): string[];
}

interface StubReport {
  readonly pid: number;
  readonly version: string;
  readonly execArgv: readonly string[];
  readonly args: readonly string[];
}

function makeClone(t: TestContext, options: { readonly installed: boolean }): Clone {
  const root = mkdtempSync(join(tmpdir(), "penstock-clone-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const calls = join(root, "npm-calls");
  const installLink = `ln -s '${join(ROOT, "node_modules")}' node_modules`;
  for (const path of ["bin/penstock", "tools/bootstrap.mjs", "package.json", "package-lock.json"]) {
    cpSync(join(ROOT, path), join(root, path));
  }
  mkdirSync(join(root, "src/bin"), { recursive: true });
  mkdirSync(join(root, "stubs"));
  for (const name of ["penstock", "start"]) {
    writeFileSync(join(root, `src/bin/${name}.ts`), STUB_PROGRAM);
  }
  writeFileSync(join(root, "stubs/npm"), `#!/bin/sh\necho "$*" >>'${calls}'\n${installLink}\n`);
  chmodSync(join(root, "stubs/npm"), 0o755);
  symlinkSync(process.execPath, join(root, "stubs/node"));
  if (options.installed) {
    symlinkSync(join(ROOT, "node_modules"), join(root, "node_modules"));
    // Older than what npm left behind, as after an installation.
    utimesSync(join(root, "package-lock.json"), 1, 1);
  }
  const env = {
    ...process.env,
    PATH: [join(root, "stubs"), "/usr/bin", "/bin"].join(delimiter),
    // Its node_modules is ours, and should not keep what only a skeleton ran.
    NODE_DISABLE_COMPILE_CACHE: "1",
  };
  const npmCalls = (): string[] =>
    existsSync(calls) ? readFileSync(calls, "utf8").trimEnd().split("\n") : [];
  return { root, env, npmCalls };
}

const parse = (stdout: string): StubReport => JSON.parse(stdout) as StubReport;

async function firstLine(child: ChildProcess): Promise<StubReport> {
  const [chunk] = (await once(child.stdout ?? child, "data")) as [Buffer];
  return parse(chunk.toString());
}

test("bin/penstock becomes Node 26 with its arguments when started through symbolic links", (t) => {
  const { root, env, npmCalls } = makeClone(t, { installed: true });
  mkdirSync(join(root, "elsewhere"));
  symlinkSync("../bin/penstock", join(root, "elsewhere/relative"));
  symlinkSync(join(root, "elsewhere/relative"), join(root, "absolute"));
  const result = spawnSync(join(root, "absolute"), ["exit", "7", "a b", "*"], { env, cwd: "/" });
  const report = parse(result.stdout.toString());
  strictEqual(result.status, 7);
  strictEqual(report.pid, result.pid);
  match(report.version, /^v26\./);
  deepStrictEqual(report.execArgv, ["--disable-warning=ExperimentalWarning"]);
  deepStrictEqual(report.args, ["exit", "7", "a b", "*"]);
  strictEqual(result.stderr.toString(), "");
  deepStrictEqual(npmCalls(), []);
});

test("bin/penstock installs with one line of progress when node_modules is missing", (t) => {
  const { root, env, npmCalls } = makeClone(t, { installed: false });
  const result = spawnSync(join(root, "bin/penstock"), ["exit", "0"], { env });
  strictEqual(result.status, 0);
  strictEqual(parse(result.stdout.toString()).pid, result.pid);
  match(result.stderr.toString(), /^penstock: installing packages \(.*\) \.\.\.\n$/);
  strictEqual(npmCalls().length, 1);
  match(npmCalls()[0] ?? "", /^ci /);
});

test("bin/penstock says what failed when the installation does", (t) => {
  const { root, env } = makeClone(t, { installed: false });
  writeFileSync(join(root, "stubs/npm"), "#!/bin/sh\necho 'no network' >&2\nexit 1\n");
  const result = spawnSync(join(root, "bin/penstock"), ["exit", "0"], { env });
  strictEqual(result.status, 1);
  match(
    result.stderr.toString(),
    /no network\n(?:.*\n)*penstock: .* is still missing after npm ci\n$/,
  );
  strictEqual(existsSync(join(root, ".penstock-install.lock")), false);
});

test("bin/penstock checks without installing when package-lock.json is only newer", (t) => {
  const { root, env, npmCalls } = makeClone(t, { installed: true });
  const later = Date.now() / 1000 + 5;
  utimesSync(join(root, "package-lock.json"), later, later);
  strictEqual(spawnSync(join(root, "bin/penstock"), ["exit", "0"], { env }).status, 0);
  deepStrictEqual(npmCalls(), []);
});

test("bootstrap installs once when two processes start in a fresh clone", async (t) => {
  const { root, env, npmCalls } = makeClone(t, { installed: false });
  const start = (): ChildProcess => spawn(join(root, "bin/penstock"), ["exit", "0"], { env });
  const codes = await Promise.all([start(), start(), start()].map((each) => once(each, "exit")));
  deepStrictEqual(codes.flat(), [0, null, 0, null, 0, null]);
  strictEqual(npmCalls().length, 1);
});

test("bootstrap takes over the lock when its holder is dead", (t) => {
  const { root, env, npmCalls } = makeClone(t, { installed: false });
  const dead = spawnSync("true").pid;
  mkdirSync(join(root, ".penstock-install.lock"));
  writeFileSync(join(root, ".penstock-install.lock/pid"), `${dead}\n`);
  strictEqual(spawnSync(join(root, "bin/penstock"), ["exit", "0"], { env }).status, 0);
  strictEqual(npmCalls().length, 1);
});

for (const [how, flags] of [
  ["by execve", []],
  ["as a child", WITHOUT_EXECVE],
] as const) {
  test(`bootstrap passes arguments, exit code and signals on when it runs ${how}`, async (t) => {
    const { root, env } = makeClone(t, { installed: true });
    const args = [...flags, join(root, "tools/bootstrap.mjs"), "start"];
    const plain = spawnSync(process.execPath, [...args, "exit", "5", "--check"], { env });
    strictEqual(plain.stderr.toString(), "");
    strictEqual(plain.status, 5);
    deepStrictEqual(parse(plain.stdout.toString()).args, ["exit", "5", "--check"]);

    const waiting = spawn(process.execPath, [...args, "wait", "9"], { env });
    const report = await firstLine(waiting);
    strictEqual(report.pid === waiting.pid, how === "by execve");
    waiting.kill("SIGTERM");
    deepStrictEqual(await once(waiting, "exit"), [9, null]);

    const killed = spawn(process.execPath, [...args, "wait", "9"], { env });
    process.kill((await firstLine(killed)).pid, "SIGKILL");
    deepStrictEqual(await once(killed, "exit"), [null, "SIGKILL"]);
  });
}

test("bootstrap names the commands it knows when given another", (t) => {
  const { root, env } = makeClone(t, { installed: true });
  const result = spawnSync(process.execPath, [join(root, "tools/bootstrap.mjs"), "x"], { env });
  strictEqual(result.status, 1);
  match(result.stderr.toString(), /unknown command "x", expected one of start, test, ok, install/);
});
