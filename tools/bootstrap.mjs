/**
 * Makes `git clone && npm start` work with nothing but npm and any Node from 20 on.
 *
 * Plain JavaScript, because it runs before anything is installed. It installs what
 * package-lock.json names when that is not there yet, then hands over to the entry point on
 * Node 26 from node_modules: by execve where the running Node has it (same process, so signals and
 * exit code need no help), else as a child whose signals and exit code it passes on.
 *
 *   node tools/bootstrap.mjs start|test|ok|install|sim|bench|bench:stages [ARGUMENT...]
 */

import { spawn, spawnSync } from "node:child_process";
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const NODE_26 = join(ROOT, "node_modules", "node", "bin", "node");
const INSTALLED_LOCK = join(ROOT, "node_modules", ".package-lock.json");
const INSTALL_LOCK = join(ROOT, ".penstock-install.lock");
const INSTALL_ATTEMPTS = 2;
/** Longer than any installation; a lock this old was left behind by a killed one. */
const INSTALL_LOCK_MS_MAX = 10 * 60 * 1000;
const NODE_FLAGS = ["--disable-warning=ExperimentalWarning"];

/** For each command: what it runs, does it need the development packages, is it the product. */
const COMMANDS = {
  start: { entry: ["src/bin/start.ts"], development: false, compileCache: true },
  test: { entry: ["tools/test.ts"], development: true, compileCache: true },
  ok: { entry: ["tools/test.ts", "--ok"], development: true, compileCache: true },
  install: { entry: undefined, development: false },
  sim: { entry: ["src/sim/main.ts"], development: false },
  bench: { entry: ["bench/bench.ts"], development: false },
  "bench:stages": { entry: ["bench/stages.ts"], development: false },
};

function main() {
  const [name = "", ...rest] = process.argv.slice(2);
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    fail(`unknown command "${name}", expected one of ${Object.keys(COMMANDS).join(", ")}`);
  }
  ensureInstalled(command.development);
  if (command.entry === undefined) {
    return;
  }
  if (command.compileCache) {
    useCompileCache();
  }
  const [entry, ...fixed] = command.entry;
  handOver([...NODE_FLAGS, join(ROOT, entry), ...fixed, ...rest]);
}

/** Installs unless everything the lock file names is there in the version it names. */
function ensureInstalled(development) {
  let missing = firstMissing(development);
  if (missing === undefined) {
    touch(INSTALLED_LOCK);
    return;
  }
  takeInstallLock();
  try {
    // Another process may have installed while this one waited for the lock.
    missing = firstMissing(development);
    for (let attempt = 1; missing !== undefined; attempt += 1) {
      process.stderr.write(`penstock: installing packages (${missing} is missing) ...\n`);
      install();
      missing = firstMissing(development);
      if (missing !== undefined && attempt >= INSTALL_ATTEMPTS) {
        fail(`installation failed: ${missing} is still missing after npm ci`);
      }
    }
    touch(INSTALLED_LOCK);
  } finally {
    rmSync(INSTALL_LOCK, { recursive: true, force: true });
  }
}

/** The first package that is not installed as the lock file says, or undefined. */
function firstMissing(development) {
  const wanted = readLock(join(ROOT, "package-lock.json"));
  if (wanted === undefined) {
    fail("package-lock.json is missing or broken");
  }
  const installed = readLock(INSTALLED_LOCK) ?? {};
  for (const [path, entry] of Object.entries(wanted)) {
    const needed = path !== "" && !entry.optional && (development || !entry.dev);
    const there = installed[path]?.version === entry.version;
    if (needed && !(there && existsSync(join(ROOT, path, "package.json")))) {
      return path.replace(/^.*node_modules\//, "");
    }
  }
  return isExecutable(NODE_26) ? undefined : "node 26";
}

function readLock(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8")).packages;
  } catch {
    return undefined;
  }
}

/**
 * One `npm ci`, errors on standard error, the rest dropped. It runs on the machine's own Node:
 * the one in node_modules, which npm scripts put first in PATH, is deleted half-way through.
 */
function install() {
  const env = { ...process.env };
  env.PATH = (env.PATH ?? "")
    .split(delimiter)
    .filter((folder) => !folder.includes("node_modules"))
    .join(delimiter);
  const args = ["ci", "--include=dev", "--include=optional", "--no-audit", "--no-fund"];
  const options = { cwd: ROOT, env, stdio: ["ignore", "ignore", 2] };
  const result = spawnSync("npm", [...args, "--loglevel=error"], options);
  if (result.error !== undefined) {
    fail(`cannot run npm: ${result.error.message}`);
  }
  const nodePackage = dirname(dirname(NODE_26));
  if (existsSync(nodePackage) && !isExecutable(NODE_26)) {
    // npm was told to ignore install scripts: this is the one that we can't do without.
    spawnSync("node", ["installArchSpecificPackage"], { ...options, cwd: nodePackage });
  }
}

/** A folder is the lock: mkdir is atomic. The holder's pid tells a living one from a dead one. */
function takeInstallLock() {
  for (let told = false; ; told = true) {
    try {
      mkdirSync(INSTALL_LOCK);
      writeFileSync(join(INSTALL_LOCK, "pid"), `${process.pid}\n`);
      return;
    } catch (error) {
      if (error.code !== "EEXIST") {
        fail(`cannot install here: ${error.message}`);
      }
    }
    if (installLockIsStale()) {
      rmSync(INSTALL_LOCK, { recursive: true, force: true });
      continue;
    }
    if (!told) {
      process.stderr.write("penstock: waiting for another installation to finish ...\n");
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  }
}

function installLockIsStale() {
  try {
    if (Date.now() - statSync(INSTALL_LOCK).mtimeMs > INSTALL_LOCK_MS_MAX) {
      return true;
    }
    process.kill(Number(readFileSync(join(INSTALL_LOCK, "pid"), "utf8")), 0);
    return false;
  } catch (error) {
    // ESRCH: the holder is dead. ENOENT: it is just coming or going.
    return error.code === "ESRCH";
  }
}

/** Replaces this process by Node 26, or stands in for it as closely as it can. */
function handOver(args) {
  if (typeof process.execve === "function" && process.platform !== "win32") {
    process.removeAllListeners("warning");
    process.execve(NODE_26, [NODE_26, ...args], process.env);
  }
  const child = spawn(NODE_26, args, { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR2"]) {
    process.on(signal, () => {
      // A terminal sends these two to the whole process group: the child has its own already.
      const fromTerminal = process.stdin.isTTY && (signal === "SIGINT" || signal === "SIGQUIT");
      if (!fromTerminal) {
        child.kill(signal);
      }
    });
  }
  child.on("error", (error) => fail(`cannot run ${NODE_26}: ${error.message}`));
  child.on("exit", (code, signal) => {
    if (signal === null) {
      process.exit(code ?? 1);
    }
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

/** For the program and all its children; why, and why only in our own tree: see bin/penstock. */
function useCompileCache() {
  const modules = join(ROOT, "node_modules");
  if (
    process.env.NODE_COMPILE_CACHE === undefined &&
    statSync(modules).uid === process.geteuid?.()
  ) {
    process.env.NODE_COMPILE_CACHE = join(modules, ".cache", "penstock", "compiled");
  }
}

function isExecutable(path) {
  try {
    accessSync(realpathSync(path), constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** bin/penstock takes a newer time than package-lock.json's to mean "checked already". */
function touch(path) {
  try {
    utimesSync(path, new Date(), new Date());
  } catch {
    // A read-only tree: the check is repeated next time, nothing else is lost.
  }
}

function fail(message) {
  process.stderr.write(`penstock: ${message}\n`);
  rmSync(INSTALL_LOCK, { recursive: true, force: true });
  process.exit(1);
}

main();
