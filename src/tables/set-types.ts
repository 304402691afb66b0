/** The types of ipsets: what their entries have, in the order in which they are written. */

/** One part of an entry. */
export type SetPart = "ip" | "net" | "port" | "mark" | "mac" | "iface" | "set";

export const SET_TYPES = {
  "hash:ip": ["ip"],
  "hash:net": ["net"],
  "hash:ip,port": ["ip", "port"],
  "hash:ip,port,ip": ["ip", "port", "ip"],
  "hash:ip,port,net": ["ip", "port", "net"],
  "hash:net,port": ["net", "port"],
  "hash:net,net": ["net", "net"],
  "hash:net,port,net": ["net", "port", "net"],
  "hash:ip,mark": ["ip", "mark"],
  "hash:mac": ["mac"],
  "hash:ip,mac": ["ip", "mac"],
  "hash:net,iface": ["net", "iface"],
  "bitmap:ip": ["ip"],
  "bitmap:port": ["port"],
  "bitmap:ip,mac": ["ip", "mac"],
  "list:set": ["set"],
} as const satisfies Readonly<Record<string, readonly SetPart[]>>;

export type SetType = keyof typeof SET_TYPES;

/** Tells whether a word names a type of set. */
export function isSetType(text: string): text is SetType {
  return Object.hasOwn(SET_TYPES, text);
}

/** The names that types had before release 6, and those that ipset takes beside. */
export const SET_TYPE_ALIASES: Readonly<Record<string, SetType | undefined>> = {
  iphash: "hash:ip",
  nethash: "hash:net",
  ipporthash: "hash:ip,port",
  ipportiphash: "hash:ip,port,ip",
  ipportnethash: "hash:ip,port,net",
  netporthash: "hash:net,port",
  netnethash: "hash:net,net",
  netportnethash: "hash:net,port,net",
  netifacehash: "hash:net,iface",
  ipmarkhash: "hash:ip,mark",
  machash: "hash:mac",
  ipmachash: "hash:ip,mac",
  ipmap: "bitmap:ip",
  portmap: "bitmap:port",
  macipmap: "bitmap:ip,mac",
  setlist: "list:set",
};
