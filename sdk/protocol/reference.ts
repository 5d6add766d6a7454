/**
 * Inputs and results that are too large to travel with their call lie in a blob, as JSON text, and what travels is a reference.
 * Nothing else looks like one: a value of just that shape is sent as a blob itself. Guests read this, so that it needs no zod.
 */

export interface ValueReference {
  readonly $blob: string;
}

const REFERENCE = /^\{"\$blob":"[0-9a-f]{32}"\}$/;
const REFERENCE_LENGTH = 44;

/** Whether a value that travelled stands for another. */
export function isReference(value: unknown): value is ValueReference {
  return typeof value === "object" && value !== null && "$blob" in value &&
    isReferenceText(JSON.stringify(value));
}

/** Whether a JSON text is a reference, or would be taken for one. */
export const isReferenceText = (text: string): boolean =>
  text.length === REFERENCE_LENGTH && REFERENCE.test(text);

/** The JSON text of a reference. */
export const referenceText = (id: string): string => `{"$blob":"${id}"}`;
