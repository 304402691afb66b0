/** Thrown at what `plain-yaml.ts` leaves to the library. */
export class Unread extends Error {}
