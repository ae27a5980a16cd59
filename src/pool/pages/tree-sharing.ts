/**
 * TreeSharing: which entries and pages of a tree are its own, and which it has in common with the
 * tree that it began as a copy of (its origin's).
 *
 * What has an epoch up to `through` was inherited: it is neither changed nor freed here. While the
 * origin is taken out of the family (cut), what the cut has passed belongs to this tree, though it
 * is older: there the origin's own border counts. Trees without an origin own all that they have.
 *
 * Owned by its PageTree; changed by the VolumeState that the tree belongs to.
 *
 * spec: docs/internals/pool-format.md, Snapshots and clones
 */

export class TreeSharing {
  /** Epoch up to which all is the origin's, too; 0: there is no origin. */
  through = 0;
  /** Keys below were passed by the cut of the origin. */
  cursor = 0;
  /** `through` of the origin. */
  passedThrough = 0;
  /** The tree does not change any more: others go on with it, or it is being taken away. */
  isFixed = false;

  /** An entry of this epoch and key was made in this tree: who replaces it frees it. Hot path. */
  ownsEntry(epoch: number, key: number): boolean {
    return epoch > (key < this.cursor ? this.passedThrough : this.through);
  }

  /** @param lastKey of the page's own header: the cut has judged it when it is beyond. Hot path. */
  ownsPage(epoch: number, lastKey: number): boolean {
    return epoch > (lastKey < this.cursor ? this.passedThrough : this.through);
  }
}
