/** The volumes of a runner that has none, for worlds without a disk. */
import type { SessionVolumes } from "../../runner/volumes.ts";

export const NO_VOLUMES: SessionVolumes = {
  onNews: () => {},
  news: { volumeSizes: [], removedVolumes: [] },
  told: () => {},
  used: () => {},
  remove: () => {},
  exec: () => {
    throw new Error("Cannot reach a volume: there is none");
  },
  close: () => {},
};
