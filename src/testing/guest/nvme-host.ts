/**
 * NvmeHost: the Linux kernel's own NVMe/TCP host, in a guest, and the steps that tests share.
 *
 * Targets are on this machine's loopback interface (GUEST_HOST in the guest). The host's NQN and id
 * are fixed, so that reservations and access lists can name them. One step at a time.
 */

import type { TestScope } from "../cleanup.ts";
import { GUEST_HOST } from "./boot-guest.ts";
import { type GuestShell, type GuestShellOptions, startGuestShell } from "./guest-shell.ts";

export const GUEST_HOST_NQN = "nqn.2026-11.test:guest";
const GUEST_HOST_ID = "6d1e2a10-33a1-4d7c-9d55-0f1c5a7e4b01";

export interface NvmeTargetAddress {
  readonly port: number | string;
  readonly nqn: string;
}

export interface ConnectOptions {
  readonly queues?: number;
  readonly headerDigest?: boolean;
  readonly dataDigest?: boolean;
  /** Further arguments of `nvme connect`. */
  readonly more?: string;
}

export class NvmeHost {
  readonly guest: GuestShell;

  constructor(guest: GuestShell) {
    this.guest = guest;
  }

  /** Waits until the namespace has its device; the first one is /dev/nvme0n1. */
  async connect(target: NvmeTargetAddress, options: ConnectOptions = {}): Promise<void> {
    await this.guest.run(`${connectLine(target, options)}
n=0
until [ -b /dev/nvme0n1 ]; do n=$((n + 1)); [ $n -lt 1000 ]; sleep 0.05; done`);
  }

  async disconnect({ nqn }: { readonly nqn: string }): Promise<void> {
    await this.guest.run(`nvme disconnect -n ${nqn}`);
  }

  run(script: string, timeoutMs?: number): Promise<string> {
    return this.guest.run(script, timeoutMs === undefined ? {} : { timeoutMs });
  }

  /** fio with verification; it fails at the first wrong byte or failed request. */
  fio(fioArguments: string, timeoutMs?: number): Promise<string> {
    return this.run(fioLine(fioArguments), timeoutMs);
  }

  /** fio beside what the test does meanwhile; `finished` gives its exit code and output. */
  async fioBeside(fioArguments: string): Promise<void> {
    await this.run(`rm -f /tmp/fio.end
(set +e; ${fioLine(fioArguments)} >/tmp/fio.out 2>&1; echo $? >/tmp/fio.end) >/dev/null 2>&1 &`);
  }

  async finished(timeoutMs: number): Promise<{ exitCode: number; output: string }> {
    const script = "until [ -e /tmp/fio.end ]; do sleep 0.1; done\ncat /tmp/fio.end /tmp/fio.out";
    const output = await this.run(script, timeoutMs);
    return { exitCode: Number.parseInt(output, 10), output };
  }
}

export interface NvmeHostOptions extends GuestShellOptions {
  readonly programs?: readonly string[];
}

export async function startNvmeHost(
  t: TestScope,
  options: NvmeHostOptions = {},
): Promise<NvmeHost> {
  const guest = await startGuestShell(t, {
    cpus: 4,
    memoryMib: 768,
    ...options,
    modules: ["nvme-tcp", ...(options.modules ?? [])],
    programs: ["nvme", "fio", ...(options.programs ?? [])],
  });
  await guest.run(`mkdir -p /etc/nvme
echo ${GUEST_HOST_NQN} >/etc/nvme/hostnqn
echo ${GUEST_HOST_ID} >/etc/nvme/hostid`);
  return new NvmeHost(guest);
}

/** `-t tcp -a ADDRESS -s PORT`, as nvme-cli wants it. */
export function transportArguments({ port }: { readonly port: number | string }): string {
  return `-t tcp -a ${GUEST_HOST} -s ${port}`;
}

function connectLine(target: NvmeTargetAddress, options: ConnectOptions): string {
  return [
    `nvme connect ${transportArguments(target)} -n ${target.nqn}`,
    options.queues === undefined ? "" : `-i ${options.queues}`,
    options.headerDigest === true ? "--hdr-digest" : "",
    options.dataDigest === true ? "--data-digest" : "",
    options.more ?? "",
  ].join(" ");
}

function fioLine(fioArguments: string): string {
  return (
    "fio --name=verify --thread --ioengine=libaio --direct=1 --verify=crc32c-intel " +
    `--verify_fatal=1 --minimal ${fioArguments}`
  );
}
