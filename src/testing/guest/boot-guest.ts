/**
 * Boots a small Linux guest in QEMU, runs one shell script in it, returns what it printed.
 *
 * The guest has no disk but what `qemuArguments` add; it reaches servers on this machine's loopback
 * interface at GUEST_HOST. Emulated (no KVM needed): a boot takes some three seconds. The guest is
 * gone when `bootGuest` has settled.
 */

import type { ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { signalGroup, spawnTracked } from "../child-processes.ts";
import { tail } from "../run-command.ts";
import { guestKernel } from "./guest-kernel.ts";
import { buildInitramfs } from "./initramfs.ts";
import { KernelModules } from "./kernel-modules.ts";

/** The address at which the guest finds 127.0.0.1 of this machine. */
export const GUEST_HOST = "10.0.2.2";

const TIMEOUT_MS_DEFAULT = 120_000;
const MEMORY_MIB_DEFAULT = 512;
/** Leaves out of the boot what an emulated CPU takes long for. */
const QUICK_BOOT = "cryptomgr.notests mitigations=off nokaslr tsc=reliable";
const NETWORK_MODULES = ["virtio_pci", "virtio_net"];

export interface GuestOptions {
  /** Runs under `sh -ex` with busybox's applets; its trace goes to the console. */
  readonly script: string;
  /** Loaded before the script, with what they need; parameters follow a blank. */
  readonly modules?: readonly string[];
  /** Programs of this machine, copied with their libraries. */
  readonly programs?: readonly string[];
  /** Content by absolute path in the guest; all of them are executable. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** Default two minutes, from power on to power off. */
  readonly timeoutMs?: number;
  readonly memoryMib?: number;
  /** Default 2: what test machines have. */
  readonly cpus?: number;
  readonly qemuArguments?: readonly string[];
  /** Ports of 127.0.0.1 here that lead to TCP ports of the guest. */
  readonly forwards?: readonly { readonly port: number; readonly guestPort: number }[];
  /** Default 0; "any" returns whatever it was. */
  readonly exitCode?: number | "any";
  /** Called for each line the script prints; `send` writes to the script's standard input. */
  readonly onLine?: (line: string, send: (text: string) => void) => void;
}

export interface GuestResult {
  readonly exitCode: number;
  /** Standard output of the script. */
  readonly output: string;
  /** Kernel messages, standard error and the trace of the script. */
  readonly console: string;
}

/** Rejects with output and console when the guest or its script does not end as expected. */
export async function bootGuest(options: GuestOptions): Promise<GuestResult> {
  const folder = mkdtempSync(join(tmpdir(), "penstock-guest-"));
  const endToken = `guest-end-${randomUUID()}`;
  try {
    const kernel = await guestKernel();
    const initramfs = await buildInitramfs(new KernelModules(kernel.modulesFolder), {
      modules: [...NETWORK_MODULES, ...(options.modules ?? [])],
      programs: options.programs ?? [],
      files: options.files ?? {},
      script: options.script,
      endToken,
    });
    const initramfsPath = join(folder, "initramfs");
    const consolePath = join(folder, "console");
    writeFileSync(initramfsPath, initramfs);
    const args = qemuArguments(options, kernel.imagePath, initramfsPath, consolePath);
    const guest = await runGuest(args, options);
    const console = readIfThere(consolePath);
    return checked({ ...guest, console, endToken, expected: options.exitCode ?? 0 });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function qemuArguments(
  options: GuestOptions,
  imagePath: string,
  initramfsPath: string,
  consolePath: string,
): string[] {
  const forwards = (options.forwards ?? []).map(
    ({ port, guestPort }) => `hostfwd=tcp:127.0.0.1:${port}-:${guestPort}`,
  );
  return [
    ...["-accel", "tcg,thread=multi", "-cpu", "max", "-machine", "q35"],
    ...["-smp", String(options.cpus ?? 2)],
    ...["-m", String(options.memoryMib ?? MEMORY_MIB_DEFAULT)],
    ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"],
    ...["-netdev", ["user,id=net0", ...forwards].join(",")],
    ...["-device", "virtio-net-pci,netdev=net0,romfile="],
    ...["-serial", `file:${consolePath}`, "-serial", "stdio"],
    ...["-kernel", imagePath, "-initrd", initramfsPath],
    ...["-append", `console=ttyS0 panic=-1 quiet loglevel=5 ${QUICK_BOOT}`],
    ...(options.qemuArguments ?? []),
  ];
}

interface GuestRun {
  readonly lines: readonly string[];
  readonly qemuMessages: string;
  /** Undefined when QEMU ended by itself. */
  readonly failure: string | undefined;
}

function runGuest(args: readonly string[], options: GuestOptions): Promise<GuestRun> {
  const qemu = spawnTracked("qemu-system-x86_64", args, { stdio: ["pipe", "pipe", "pipe"] });
  const lines: string[] = [];
  collectLines(qemu, lines, options.onLine);
  let qemuMessages = "";
  qemu.stderr?.on("data", (chunk: Buffer) => {
    qemuMessages += chunk.toString("utf8");
  });
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS_DEFAULT;
  return new Promise((resolve, reject) => {
    let failure: string | undefined;
    const timer = setTimeout(() => {
      failure = `still running after ${timeoutMs} ms`;
      signalGroup(qemu.pid ?? 0, "SIGKILL");
    }, timeoutMs);
    qemu.once("error", reject);
    qemu.once("close", () => {
      clearTimeout(timer);
      resolve({ lines, qemuMessages, failure });
    });
  });
}

function collectLines(qemu: ChildProcess, lines: string[], onLine: GuestOptions["onLine"]): void {
  const { stdin, stdout } = qemu;
  stdin?.on("error", () => undefined);
  if (stdout === null) {
    return;
  }
  createInterface({ input: stdout }).on("line", (line) => {
    lines.push(line);
    onLine?.(line, (text) => stdin?.write(text));
  });
}

interface CheckedRun extends GuestRun {
  readonly console: string;
  readonly endToken: string;
  readonly expected: number | "any";
}

function checked(run: CheckedRun): GuestResult {
  const end = run.lines.findLast((line) => line.startsWith(run.endToken));
  const exitCode = end === undefined ? -1 : Number(end.slice(run.endToken.length));
  const output = run.lines
    .filter((line) => line !== end)
    .join("\n")
    .replace(/\n?$/, "");
  const problem =
    run.failure ??
    (end === undefined ? "the guest stopped before its script had ended" : undefined) ??
    (run.expected === "any" || run.expected === exitCode
      ? undefined
      : `exit code ${exitCode} instead of ${run.expected}`);
  if (problem !== undefined) {
    throw new Error(
      `guest: ${problem}\n--- output\n${tail(output)}\n--- console\n${tail(run.console)}` +
        `\n--- qemu\n${tail(run.qemuMessages)}`,
    );
  }
  return { exitCode, output, console: run.console };
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (_neverStarted) {
    return "";
  }
}
