/**
 * Builds the root file system of a guest: busybox, kernel modules, programs of this machine with
 * their shared libraries, files, and an init that runs one script and stops the machine.
 *
 * Serial lines: ttyS0 is the console (kernel messages, standard error and the script's trace),
 * ttyS1 carries the script's standard output and input, framed by a token. Not compressed: QEMU
 * emulates the guest's CPU, and copying is cheaper than decompressing there.
 */

import { readFileSync } from "node:fs";
import { delimiter, join } from "node:path";

import { runCommand } from "../run-command.ts";
import { CpioArchive } from "./cpio-archive.ts";
import type { KernelModules } from "./kernel-modules.ts";

/** Folders of programs, in the guest's order: real programs win over busybox's applets in /bin. */
const PROGRAM_FOLDERS = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"] as const;

export interface InitramfsOptions {
  /** Each a module's name, and its parameters after a blank: "nbd nbds_max=2". */
  readonly modules: readonly string[];
  /** Names of programs in PATH, or absolute paths; copied to the same place. */
  readonly programs: readonly string[];
  /** Content by absolute path in the guest. */
  readonly files: Readonly<Record<string, string | Uint8Array>>;
  /** Runs under `busybox sh -ex`: its exit code is the guest's result. */
  readonly script: string;
  /** Printed with the exit code on ttyS1 when the script has ended. */
  readonly endToken: string;
}

export async function buildInitramfs(
  kernelModules: KernelModules,
  options: InitramfsOptions,
): Promise<Buffer> {
  const archive = new CpioArchive();
  for (const folder of ["/proc", "/sys", "/dev", "/tmp", "/run", "/mnt", "/etc", "/root"]) {
    archive.addFolder(folder);
  }
  archive.addFile("/bin/busybox", readFileSync(await locate("busybox")), 0o755);
  // The kernel and some programs ask for these by their fixed names.
  archive.addLink("/sbin", "usr/sbin");
  archive.addFolder("/usr/sbin");
  for (const program of options.programs) {
    await addProgram(archive, program);
  }
  for (const [path, content] of Object.entries(options.files)) {
    archive.addFile(path, typeof content === "string" ? Buffer.from(content) : content, 0o755);
  }
  archive.addFile("/script", Buffer.from(options.script));
  const insmodLines = addModules(archive, kernelModules, options.modules);
  archive.addFile("/init", Buffer.from(initScript(insmodLines, options.endToken)), 0o755);
  return archive.finish();
}

function addModules(
  archive: CpioArchive,
  kernelModules: KernelModules,
  wanted: readonly string[],
): string[] {
  const parametersByName = new Map<string, string>();
  const names = wanted.map((line) => {
    const [name = "", ...parameters] = line.split(" ");
    parametersByName.set(name.replaceAll("-", "_"), parameters.join(" "));
    return name;
  });
  return kernelModules.inLoadOrder(names).map(({ name, content }) => {
    archive.addFile(`/modules/${name}.ko`, content);
    return `insmod /modules/${name}.ko ${parametersByName.get(name) ?? ""}`.trimEnd();
  });
}

async function addProgram(archive: CpioArchive, program: string): Promise<void> {
  const path = await locate(program);
  archive.addFile(path, readFileSync(path), 0o755);
  // "not a dynamic executable" is no failure: there is then nothing to add.
  const { stdout } = await runCommand("ldd", [path], { exitCode: "any" });
  for (const match of stdout.matchAll(/(?:=>\s+|^\s+)(\/\S+)\s+\(0x/gm)) {
    const library = match[1] ?? "";
    archive.addFile(library, readFileSync(library), 0o755);
  }
}

async function locate(program: string): Promise<string> {
  if (program.startsWith("/")) {
    return program;
  }
  const environment = {
    PATH: [process.env.PATH ?? "", ...PROGRAM_FOLDERS, "/sbin", "/bin"].join(delimiter),
  };
  const found = await runCommand("sh", ["-c", 'command -v "$1"', "sh", program], { environment });
  const path = found.stdout.trim();
  // On merged systems /sbin is a link to /usr/sbin, as it is in the guest.
  return /^\/s?bin\//.test(path) ? join("/usr", path) : path;
}

/** The guest's network is QEMU's: the host's loopback interface is 10.0.2.2. */
function initScript(insmodLines: readonly string[], endToken: string): string {
  return `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=${PROGRAM_FOLDERS.join(":")}:/bin HOME=/root
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
exec </dev/null >/dev/console 2>&1
stty -F /dev/ttyS1 raw -echo
load_modules() {
  set -ex
${insmodLines.join("\n")}
}
start_network() {
  ip link set lo up
  if [ -e /sys/class/net/eth0 ]; then
    ip link set eth0 up
    ip addr add 10.0.2.15/24 dev eth0
    ip route add default via 10.0.2.2
  fi
}
cd /root
(load_modules) && start_network && sh -ex /script </dev/ttyS1 >/dev/ttyS1
printf '\\n%s %d\\n' ${endToken} $? >/dev/ttyS1
sync
reboot -f
`;
}
