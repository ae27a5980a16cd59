/** VolumeDevice: a volume of a pool as a device. Written next. */

import { Device } from "../../block/device.ts";

export abstract class VolumeDevice extends Device {}
