// A frame that waits to be decided with its neighbours.

export const GATHERED_SIZE: usize = 48;

@unmanaged
export class Gathered {
  time: u64;
  frame: u32;
  captured: u32;
  original: u32;
  linkType: u16;
  captureInterface: u16;
  /** Of its addresses and ports, as far as they are told at a glance. */
  hash: u32;
  /** What `touchEntryOf` gave for it. */
  node: u32;
  /** How many packets were passed over in front of it, and the latest time of any that was. */
  passed: u32;
  passedTime: u64;
}

if (offsetof<Gathered>() != GATHERED_SIZE) ERROR("GATHERED_SIZE");
