/** Where the source and the share of a pipe run: on one reactor, or on two. Constant. */

export const PLACEMENTS = ["together", "apart"] as const;
export type Placement = (typeof PLACEMENTS)[number];
