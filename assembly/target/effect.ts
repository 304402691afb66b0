// What a target makes of the walk.

/** The walk goes on with the next rule. */
export const EFFECT_CONTINUE: u32 = 0;
/** The table lets the packet go on. */
export const EFFECT_ACCEPT: u32 = 1;
export const EFFECT_DROP: u32 = 2;
