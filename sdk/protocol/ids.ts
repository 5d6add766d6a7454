/** How calls and batches are numbered and written. Without zod, so that light clients can load it. */

/** Where a call lives: its batch (one create request) and its place in it. */
export interface CallKey {
  readonly batch: number;
  readonly index: number;
}
export const formatCallId = ({ batch, index }: CallKey): string =>
  `call_${batch.toString(36).padStart(10, "0")}_${index.toString(36)}`;
export const parseCallId = (id: string): CallKey => {
  const [, batch, index] = id.split("_");
  return { batch: parseInt(batch!, 36), index: parseInt(index!, 36) };
};
export const formatBatchId = (batch: number): string => `batch_${batch.toString(36).padStart(10, "0")}`;
export const parseBatchId = (id: string): number => parseInt(id.slice("batch_".length), 36);
