/**
 * Finds kernel modules and what they depend on, in the order in which they must be loaded.
 *
 * A kernel package has no modules.dep (depmod makes it on installation), so the dependencies are
 * read from the modules themselves, where modpost writes them as `key=value` strings. Stateless.
 */

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { gunzipSync, zstdDecompressSync } from "node:zlib";

/** One module, ready for insmod. */
export interface KernelModule {
  /** With underscores, as lsmod shows it. */
  readonly name: string;
  readonly content: Buffer;
}

/** Guests need it anyway, and xz is not on every machine. */
const BUSYBOX = "busybox";
const MODULE_FILE = /\.ko(\.xz|\.zst|\.gz)?$/;
const MODULE_BYTES_MAX = 64 * 1024 * 1024;

export class KernelModules {
  readonly #pathByName = new Map<string, string>();
  readonly #builtIn: ReadonlySet<string>;

  /** `folder` is /lib/modules/RELEASE of an unpacked kernel package. */
  constructor(folder: string) {
    for (const entry of readdirSync(join(folder, "kernel"), { recursive: true })) {
      const path = join(folder, "kernel", String(entry));
      if (MODULE_FILE.test(path)) {
        this.#pathByName.set(moduleName(path), path);
      }
    }
    const builtIn = readFileSync(join(folder, "modules.builtin"), "utf8");
    this.#builtIn = new Set(builtIn.split("\n").map(moduleName));
  }

  /** The modules of `names` and all they need, each after what it needs, without built-in ones. */
  inLoadOrder(names: readonly string[]): KernelModule[] {
    const ordered = new Map<string, KernelModule>();
    for (const name of names) {
      this.#visit(moduleName(name), ordered);
    }
    return [...ordered.values()];
  }

  #visit(name: string, ordered: Map<string, KernelModule>): void {
    if (ordered.has(name) || this.#builtIn.has(name)) {
      return;
    }
    const path = this.#pathByName.get(name);
    if (path === undefined) {
      throw new Error(`the guest kernel has no module "${name}"`);
    }
    const content = decompress(path);
    for (const needed of dependenciesOf(content)) {
      this.#visit(needed, ordered);
    }
    for (const wished of softDependenciesOf(content)) {
      // Often an alias that is built in under another name, so only what exists as a file counts.
      if (this.#pathByName.has(wished)) {
        this.#visit(wished, ordered);
      }
    }
    ordered.set(name, { name, content });
  }
}

function moduleName(path: string): string {
  return basename(path).replace(MODULE_FILE, "").replaceAll("-", "_");
}

function decompress(path: string): Buffer {
  if (path.endsWith(".xz")) {
    return execFileSync(BUSYBOX, ["xzcat", path], { maxBuffer: MODULE_BYTES_MAX });
  }
  const content = readFileSync(path);
  if (path.endsWith(".zst")) {
    return zstdDecompressSync(content);
  }
  return path.endsWith(".gz") ? gunzipSync(content) : content;
}

function dependenciesOf(module: Buffer): string[] {
  const lists = modinfo(module, "depends");
  return lists.flatMap((list) => list.split(",").filter(Boolean).map(moduleName));
}

/** `softdep=pre: a b post: c`: only what comes before matters here. */
function softDependenciesOf(module: Buffer): string[] {
  return modinfo(module, "softdep").flatMap((text) => {
    const before = /pre:([^:]*)(?=\spost:|$)/.exec(text)?.[1] ?? "";
    return before.split(/\s+/).filter(Boolean).map(moduleName);
  });
}

/** All values of `key` among the zero-terminated strings of the .modinfo section. */
function modinfo(module: Buffer, key: string): string[] {
  const values: string[] = [];
  const marker = Buffer.from(`\0${key}=`);
  for (
    let start = module.indexOf(marker);
    start !== -1;
    start = module.indexOf(marker, start + marker.length)
  ) {
    const valueStart = start + marker.length;
    values.push(module.toString("latin1", valueStart, module.indexOf(0, valueStart)));
  }
  return values;
}
