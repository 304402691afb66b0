/**
 * How much room V8 gives to objects that were just made. It lets that grow to 128 MiB while manifests are compiled,
 * of which most objects stay: they are copied twice for nothing, and the room is never given back.
 */
import { setFlagsFromString } from "node:v8";

/**
 * Keeps it, in all threads, as small as it is: in threads that start later, which decide packets and make few objects,
 * as it begins. Node can be told a limit only before it starts.
 */
export function boundYoungGeneration(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
}
