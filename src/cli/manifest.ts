/**
 * What package.json says of this version. Read at the start, not imported: the file lies above
 * src/ in the tree and above dist/ in the published package.
 */

import { readFileSync } from "node:fs";

interface Manifest {
  readonly version: string;
}

const path = new URL("../../package.json", import.meta.url);

export const manifest: Manifest = JSON.parse(readFileSync(path, "utf8")) as Manifest;
