/**
 * How to use an NBD share with the clients that people have. Pure.
 */

/** Lines to print; `scratchUri` may be overwritten by anybody. */
export function attachHelp(diskUri: string, scratchUri: string): string {
  const { hostname, port, pathname } = new URL(diskUri);
  const name = decodeURIComponent(pathname.slice(1));
  return `
Attach it, from another terminal:
  sudo modprobe nbd && sudo nbd-client ${hostname} ${port} /dev/nbd0 -N ${name}
  nbdinfo ${diskUri}
  nbdcopy image.raw ${diskUri}
  nbdsh -u ${diskUri} -c 'print(h.pread(16, 0))'
  qemu-img convert -n -O raw image.qcow2 ${diskUri}

Measure it (this export is scratch: overwrite it as you like):
  fio --name=t --ioengine=nbd --uri=${scratchUri} --rw=randrw --bs=4k --iodepth=32 \\
      --size=256m --time_based --runtime=10
`;
}
