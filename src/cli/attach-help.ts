/**
 * How to use the mirror of `npm start` with the clients that people have. Pure.
 */

export interface AttachHelp {
  readonly nvmeUri: string;
  /** The same disk. */
  readonly nbdUri: string;
  /** May be overwritten by anybody. */
  readonly scratchUri: string;
  /** The same, over NBD. */
  readonly scratchNbdUri: string;
  /** Address of the mirror's engine. */
  readonly engine: string;
  /** Process of an engine below the mirror. */
  readonly victim: number;
}

/** Lines to print. */
export function attachHelp(help: AttachHelp): string {
  const { nvmeUri, nbdUri, scratchUri, scratchNbdUri, engine, victim } = help;
  const { hostname, port, pathname } = new URL(nbdUri);
  const name = decodeURIComponent(pathname.slice(1));
  const { host, nvmePort, nqn } = nvmePlace(nvmeUri);
  return `
Attach the mirror, from another terminal, over NVMe/TCP with nothing but Linux and nvme-cli:
  sudo modprobe nvme-tcp && sudo nvme connect -t tcp -a ${host} -s ${nvmePort} -n ${nqn}
  bin/penstock nvme discover nvmf://${host}:${nvmePort}

The same disk over NBD:
  sudo modprobe nbd && sudo nbd-client ${hostname} ${port} /dev/nbd0 -N ${name}
  nbdinfo ${nbdUri}
  nbdcopy image.raw ${nbdUri}
  nbdsh -u ${nbdUri} -c 'print(h.pread(16, 0))'
  qemu-img convert -n -O raw image.qcow2 ${nbdUri}

Look into it, and change it while it runs:
  bin/penstock pipe graph ${name} --engine ${engine}
  bin/penstock device list --engine ${engine}
  bin/penstock pipe insert ${name} 'limit#slow?iops=500' --engine ${engine}
  kill -9 ${victim}        # an engine below the mirror: clients notice nothing

Measure it (this disk is scratch: overwrite it as you like):
  bin/penstock bench ${scratchUri} --rw randrw --yes
  fio --name=t --ioengine=nbd --uri=${scratchNbdUri} --rw=randrw --bs=4k --iodepth=32 \\
      --size=256m --time_based --runtime=10
`;
}

/** The path of such a URI has a colon, which is no port's. */
function nvmePlace(uri: string): { host: string; nvmePort: string; nqn: string } {
  const [, host = "", nvmePort = "", nqn = ""] = /^nvmf:\/\/(.+):(\d+)\/([^?]+)/.exec(uri) ?? [];
  return { host, nvmePort, nqn };
}
