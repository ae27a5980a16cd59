/**
 * NvmetTarget: the Linux kernel's own NVMe/TCP target, in a guest, over RAM disks.
 *
 * For tests of our initiator: the target listens on the guest's GUEST_NVMET_PORT, and `port` of
 * 127.0.0.1 here leads to it (QEMU's hostfwd), so that
 *
 *   const target = await startNvmetTarget(t, { namespaces: 1, sizeMib: 64 });
 *   `nvmf://127.0.0.1:${target.port}/${target.nqn}`
 *
 * is what the initiator opens. `take away` and `put back` remove and make the kernel's port: all
 * controllers lose their connections, as when a target restarts; the data stays. For the host in
 * the same guest (`nvme connect`), the address is 127.0.0.1 and GUEST_NVMET_PORT.
 */

import type { TestScope } from "../cleanup.ts";
import { freePort } from "../free-port.ts";
import { type GuestShell, startGuestShell } from "./guest-shell.ts";

export const GUEST_NVMET_PORT = 4420;
/** Modules of target and host, and RAM disks. */
const NVMET_MODULES = ["nvme-tcp", "nvmet-tcp"];
const CONFIG = "/sys/kernel/config/nvmet";

export interface NvmetOptions {
  readonly nqn?: string;
  /** Default 1; number n is /dev/ram(n - 1). */
  readonly namespaces?: number;
  /** Of each namespace; default 64. */
  readonly sizeMib?: number;
  readonly programs?: readonly string[];
}

export interface NvmetTarget {
  readonly guest: GuestShell;
  /** Of 127.0.0.1 on this machine. */
  readonly port: number;
  readonly nqn: string;
  /** Takes the target's port away: connections end, new ones are refused. */
  takeAway(): Promise<void>;
  putBack(): Promise<void>;
}

/** Boots a guest that serves; it is off after the test. */
export async function startNvmetTarget(
  t: TestScope,
  options: NvmetOptions = {},
): Promise<NvmetTarget> {
  const { nqn = "nqn.2026-11.test:kernel", namespaces = 1, sizeMib = 64 } = options;
  const port = await freePort();
  const guest = await startGuestShell(t, {
    modules: [...NVMET_MODULES, `brd rd_nr=${namespaces} rd_size=${sizeMib * 1024}`],
    programs: ["nvme", ...(options.programs ?? [])],
    forwards: [{ port, guestPort: GUEST_NVMET_PORT }],
    memoryMib: 512 + namespaces * sizeMib,
  });
  await guest.run(subsystemScript(nqn, namespaces));
  const putBack = async () => void (await guest.run(portScript(nqn)));
  await putBack();
  const takeAway = async () =>
    void (await guest.run(`rm ${CONFIG}/ports/1/subsystems/${nqn}\nrmdir ${CONFIG}/ports/1`));
  return { guest, port, nqn, takeAway, putBack };
}

function subsystemScript(nqn: string, namespaces: number): string {
  const numbers = Array.from({ length: namespaces }, (_, index) => index + 1);
  const lines = numbers.map(
    (number) => `
mkdir namespaces/${number}
printf /dev/ram${number - 1} >namespaces/${number}/device_path
echo 1 >namespaces/${number}/enable`,
  );
  return `
mount -t configfs none /sys/kernel/config
mkdir ${CONFIG}/subsystems/${nqn}
cd ${CONFIG}/subsystems/${nqn}
echo 1 >attr_allow_any_host${lines.join("")}
`;
}

function portScript(nqn: string): string {
  return `
mkdir ${CONFIG}/ports/1
cd ${CONFIG}/ports/1
echo tcp >addr_trtype
echo ipv4 >addr_adrfam
echo 0.0.0.0 >addr_traddr
echo ${GUEST_NVMET_PORT} >addr_trsvcid
ln -s ${CONFIG}/subsystems/${nqn} subsystems/
`;
}
