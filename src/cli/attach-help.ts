/**
 * How to use the mirror of `npm start` with the clients that people have. Pure.
 */

export interface AttachHelp {
  readonly diskUri: string;
  /** May be overwritten by anybody. */
  readonly scratchUri: string;
  /** Address of the mirror's engine. */
  readonly engine: string;
  /** Process of an engine below the mirror. */
  readonly victim: number;
}

/** Lines to print. */
export function attachHelp({ diskUri, scratchUri, engine, victim }: AttachHelp): string {
  const { hostname, port, pathname } = new URL(diskUri);
  const name = decodeURIComponent(pathname.slice(1));
  return `
Attach the mirror, from another terminal:
  sudo modprobe nbd && sudo nbd-client ${hostname} ${port} /dev/nbd0 -N ${name}
  nbdinfo ${diskUri}
  nbdcopy image.raw ${diskUri}
  nbdsh -u ${diskUri} -c 'print(h.pread(16, 0))'
  qemu-img convert -n -O raw image.qcow2 ${diskUri}

Look into it, and change it while it runs:
  bin/penstock pipe graph ${name} --engine ${engine}
  bin/penstock device list --engine ${engine}
  bin/penstock pipe insert ${name} 'limit#slow?iops=500' --engine ${engine}
  kill -9 ${victim}        # an engine below the mirror: clients notice nothing

Measure it (this disk is scratch: overwrite it as you like):
  bin/penstock bench ${scratchUri} --rw randrw --yes
  fio --name=t --ioengine=nbd --uri=${scratchUri} --rw=randrw --bs=4k --iodepth=32 \\
      --size=256m --time_based --runtime=10
`;
}
