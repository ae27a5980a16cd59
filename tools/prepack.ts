/**
 * Makes dist/ for the published package: npm runs it before it packs.
 *
 * Node strips no types below node_modules, so JavaScript is published, with the declarations of
 * what index.ts promises and of nothing else.
 *
 *   node tools/prepack.ts      makes dist/ anew
 */

import { spawnSync } from "node:child_process";
import { globSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { ROOT } from "./source-tree.ts";

const DIST = join(ROOT, "dist");
/** Relative modules that a declaration names; the compiler leaves their endings as they are. */
const MODULE = /(\bfrom |\bimport\()"(\.\.?\/[^"]+)\.ts"/g;
/** Disposable and its symbols; the compiler drops such lines. */
const LIBRARIES = '/// <reference lib="esnext.disposable" />\n';

function main(): void {
  rmSync(DIST, { recursive: true, force: true });
  const compiler = join(ROOT, "node_modules", ".bin", "tsc");
  const args = ["-p", join(ROOT, "tsconfig.build.json")];
  const { status, error } = spawnSync(compiler, args, { stdio: ["ignore", 2, 2] });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`tsc ended with ${status}`);
  const kept = new Set<string>();
  keepDeclaration(join(DIST, "index.d.ts"), kept);
  for (const path of globSync("**/*.d.ts", { cwd: DIST })) {
    if (!kept.has(join(DIST, path))) rmSync(join(DIST, path));
  }
}

/** Rewrites the declarations at `path` and all that they stand on. */
function keepDeclaration(path: string, kept: Set<string>): void {
  if (kept.has(path)) return;
  kept.add(path);
  const text = readFileSync(path, "utf8");
  for (const [, , specifier = ""] of text.matchAll(MODULE)) {
    keepDeclaration(resolve(dirname(path), `${specifier}.d.ts`), kept);
  }
  writeFileSync(path, LIBRARIES + text.replace(MODULE, '$1"$2.js"'));
}

main();
