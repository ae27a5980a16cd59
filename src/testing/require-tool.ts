/**
 * Says which foreign programs a test lacks, so that a skipped test names what to install.
 *
 * Used as `test(name, { skip: missingTools("fio", "nbdinfo") }, ...)`. The run counts every skip,
 * and PENSTOCK_REQUIRE_ALL=1 turns each into a failure. Looks things up once per process.
 */

import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Debian package of each tool; `.ci/run` installs every package named here (a test compares). */
export const DEBIAN_PACKAGE_BY_TOOL: Readonly<Record<string, string>> = {
  "busybox-static": "busybox-static",
  cpio: "cpio",
  cryptsetup: "cryptsetup-bin",
  curl: "curl",
  depmod: "kmod",
  dockerd: "docker.io",
  fio: "fio",
  fish: "fish",
  "mkfs.ext4": "e2fsprogs",
  "mkfs.xfs": "xfsprogs",
  nbdcopy: "libnbd-bin",
  nbddump: "libnbd-bin",
  nbdinfo: "libnbd-bin",
  nbdkit: "nbdkit",
  nbdsh: "python3-libnbd",
  "nbd-client": "nbd-client",
  nvme: "nvme-cli",
  "python3-nbd": "python3-libnbd",
  "qemu-img": "qemu-utils",
  "qemu-io": "qemu-utils",
  "qemu-nbd": "qemu-utils",
  "qemu-system-x86_64": "qemu-system-x86",
  script: "bsdutils",
  sqlite3: "sqlite3",
  strace: "strace",
  zsh: "zsh",
};

/** Tools that are something else than a program of that name in PATH. */
const SPECIAL_CHECKS: Readonly<Record<string, () => boolean>> = {
  "busybox-static": () => isInPath("busybox"),
  "python3-nbd": () => succeeds("python3", ["-c", "import nbd"]),
  root: () => process.getuid?.() === 0,
};

const EXTRA_FOLDERS: readonly string[] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

const foundByName = new Map<string, boolean>();

/**
 * False when every tool is there, else the reason to skip, which names each missing one. A name is
 * a program, an absolute path that must exist (`/dev/kvm`), `root` or `python3-nbd`.
 */
export function missingTools(...names: readonly string[]): string | false {
  const missing = names.filter((name) => !isThere(name));
  if (missing.length === 0) {
    return false;
  }
  const described = missing.map((name) => {
    const debianPackage = DEBIAN_PACKAGE_BY_TOOL[name];
    return debianPackage === undefined ? name : `${name} (apt install ${debianPackage})`;
  });
  return `missing: ${described.join(", ")}`;
}

function isThere(name: string): boolean {
  let found = foundByName.get(name);
  if (found === undefined) {
    const check = SPECIAL_CHECKS[name];
    found = check === undefined ? isInPath(name) : check();
    foundByName.set(name, found);
  }
  return found;
}

function isInPath(name: string): boolean {
  if (name.startsWith("/")) {
    return isAccessible(name, constants.F_OK);
  }
  const folders = [...(process.env.PATH ?? "").split(delimiter), ...EXTRA_FOLDERS];
  return folders.some((folder) => isAccessible(join(folder, name), constants.X_OK));
}

function isAccessible(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch (_notThere) {
    return false;
  }
}

function succeeds(program: string, args: readonly string[]): boolean {
  return spawnSync(program, args, { stdio: "ignore" }).status === 0;
}
