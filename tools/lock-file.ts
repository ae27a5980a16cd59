/**
 * Checks package-lock.json, and completes it after `npm install` behind a partial registry.
 *
 * Compilers and linters bring one optional package per platform. A registry mirror that has only
 * some of them makes npm leave the others out of the lock file, and then `npm ci` of npm 11
 * refuses the file everywhere. The missing entries follow from what their parents name.
 *
 *   node tools/lock-file.ts [--write]      prints what is wrong; with --write adds what is missing
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./source-tree.ts";

interface LockedPackage {
  readonly version?: string;
  readonly resolved?: string;
  readonly dev?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

export interface LockFile {
  packages: Record<string, LockedPackage>;
}

const CPUS: ReadonlySet<string> = new Set(
  "arm arm64 ia32 loong64 mips64el ppc64 riscv64 s390x x64".split(" "),
);
const SYSTEMS: ReadonlySet<string> = new Set(
  "aix android darwin freebsd linux netbsd openbsd openharmony sunos win32".split(" "),
);

/** Problems in words, none when the file is complete and names no registry. */
export function lockFileProblems(lock: LockFile): string[] {
  const problems = Object.entries(lock.packages)
    .filter(([, entry]) => entry.resolved !== undefined)
    .map(([path]) => `${path} names the registry that it came from`);
  for (const { path } of missingOptionals(lock)) {
    problems.push(`${path} is missing: run node tools/lock-file.ts --write`);
  }
  return problems;
}

/** A copy with an entry for every optional package that some entry names. */
export function completed(lock: LockFile): LockFile {
  const packages = { ...lock.packages };
  for (const { path, version, dev } of missingOptionals(lock)) {
    const parts = path.split(/[/-]/);
    const cpu = parts.find((part) => CPUS.has(part));
    const os = parts.find((part) => SYSTEMS.has(part));
    const abi = parts.find((part) => /^(?:musl|gnu)/.test(part));
    const libc = abi === undefined ? undefined : abi.startsWith("musl") ? "musl" : "glibc";
    packages[path] = {
      version,
      ...(cpu === undefined ? {} : { cpu: [cpu] }),
      ...(dev ? { dev } : {}),
      ...(libc === undefined ? {} : { libc: [libc] }),
      optional: true,
      ...(os === undefined ? {} : { os: [os] }),
    } as LockedPackage;
  }
  const sorted = Object.entries(packages).sort(([a], [b]) => (a < b ? -1 : 1));
  return { ...lock, packages: Object.fromEntries(sorted) };
}

interface MissingPackage {
  readonly path: string;
  readonly version: string;
  readonly dev: boolean;
}

function missingOptionals(lock: LockFile): MissingPackage[] {
  return Object.values(lock.packages).flatMap((entry) =>
    Object.entries(entry.optionalDependencies ?? {})
      .map(([name, version]) => ({
        path: `node_modules/${name}`,
        version: version.replace(/^[\^~]/, ""),
        dev: entry.dev ?? false,
      }))
      .filter(({ path }) => lock.packages[path] === undefined),
  );
}

if (import.meta.main) {
  const path = join(ROOT, "package-lock.json");
  let lock = JSON.parse(readFileSync(path, "utf8")) as LockFile;
  if (process.argv.includes("--write")) {
    lock = completed(lock);
    writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
  }
  const problems = lockFileProblems(lock);
  process.stdout.write(problems.map((problem) => `${problem}\n`).join(""));
  process.exitCode = problems.length > 0 ? 1 : 0;
}
