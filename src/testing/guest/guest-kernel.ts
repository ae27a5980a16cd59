/**
 * Debian's cloud kernel for QEMU guests, downloaded once with apt and unpacked into a cache.
 *
 * The cache is $PENSTOCK_CACHE or node_modules/.cache/penstock; removing it fetches the newest
 * kernel again. Test files may run at once, so a tree appears in the cache whole or not at all.
 */

import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";

import { missingTools } from "../require-tool.ts";
import { type CommandOptions, runCommand } from "../run-command.ts";

/** A meta package: it depends on the newest kernel, whose name has the version in it. */
const META_PACKAGE = "linux-image-cloud-amd64";
const KERNEL_PACKAGE = /\blinux-image-[0-9]\S*-cloud-amd64\b/;
const DOWNLOAD_TIMEOUT_MS = 180_000;

export interface GuestKernel {
  /** The bootable image. */
  readonly imagePath: string;
  /** /lib/modules/RELEASE of the package. */
  readonly modulesFolder: string;
}

/** False when guests can run here, else the reason to skip. */
export function guestSkipReason(...tools: readonly string[]): string | false {
  if (process.arch !== "x64") {
    return `guests need an x86-64 machine, this is ${process.arch}`;
  }
  return missingTools("qemu-system-x86_64", "busybox-static", "apt-get", "dpkg", "ldd", ...tools);
}

/** Finds the kernel in the cache or downloads it. */
export async function guestKernel(): Promise<GuestKernel> {
  const cache = cacheFolder();
  const tree = join(cache, "guest-kernel");
  if (!existsSync(tree)) {
    await download(cache, tree);
  }
  const boot = join(tree, "boot");
  const image = readdirSync(boot).find((name) => name.startsWith("vmlinuz-"));
  if (image === undefined) {
    throw new Error(`no kernel image in ${boot}: remove ${tree} and try again`);
  }
  return {
    imagePath: join(boot, image),
    modulesFolder: modulesFolderOf(tree, image.slice("vmlinuz-".length)),
  };
}

function cacheFolder(): string {
  const fallback = resolve(import.meta.dirname, "../../../node_modules/.cache/penstock");
  return process.env.PENSTOCK_CACHE ?? fallback;
}

/** Newer packages have everything below /usr. */
function modulesFolderOf(tree: string, release: string): string {
  const candidates = ["lib/modules", "usr/lib/modules"].map((part) => join(tree, part, release));
  const found = candidates.find((path) => existsSync(join(path, "kernel")));
  if (found === undefined) {
    throw new Error(`no modules of ${release} in ${tree}: remove it and try again`);
  }
  return found;
}

async function download(cache: string, tree: string): Promise<void> {
  mkdirSync(cache, { recursive: true });
  const scratch = mkdtempSync(join(cache, "download-"));
  const options = { cwd: scratch, timeoutMs: DOWNLOAD_TIMEOUT_MS };
  try {
    await fetchPackage(options);
    const archive = readdirSync(scratch).find((name) => name.endsWith(".deb"));
    if (archive === undefined) {
      throw new Error(`apt-get download left no package in ${scratch}`);
    }
    await runCommand("dpkg", ["-x", archive, "unpacked"], options);
    publish(join(scratch, "unpacked"), tree);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Tries with the package lists as they are; old or missing ones are then updated. */
async function fetchPackage(options: CommandOptions): Promise<void> {
  try {
    await runCommand("apt-get", ["download", await kernelPackageName(options)], options);
  } catch (_oldLists) {
    await runCommand("apt-get", ["update"], options);
    await runCommand("apt-get", ["download", await kernelPackageName(options)], options);
  }
}

async function kernelPackageName(options: CommandOptions): Promise<string> {
  const { stdout } = await runCommand("apt-cache", ["depends", META_PACKAGE], options);
  const name = KERNEL_PACKAGE.exec(stdout)?.[0];
  if (name === undefined) {
    throw new Error(`${META_PACKAGE} names no kernel package:\n${stdout}`);
  }
  return name;
}

/** Another process may have been quicker; its tree is as good as ours. */
function publish(unpacked: string, tree: string): void {
  try {
    renameSync(unpacked, tree);
  } catch (error) {
    if (!existsSync(tree)) {
      throw error;
    }
  }
}
