/** Names of images: `python:3.12` is `docker.io/library/python:3.12`, with every engine. Pure. */

export interface Reference {
  /** `docker.io`, `registry.example.com:5000`. */
  readonly registry: string;
  /** `library/python`. */
  readonly path: string;
  /** `3.12`, or `sha256:…` when the image is named by its digest. */
  readonly tag: string;
}

const HUB = "docker.io";
/** A first part is a host when it looks like one: a bare word is part of the path. */
const HOST =
  /^(localhost|\[[0-9a-f:]+\]|[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9-]+)+|[A-Za-z0-9][A-Za-z0-9-]*(?=:))(:\d+)?$/;
const PATH = /^[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*(\/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^(\w[\w.-]{0,127}|sha256:[0-9a-f]{64})$/;

/** @throws TypeError when the text names no image */
export function parseReference(text: string): Reference {
  const [host, rest] = splitHost(text);
  const { name, tag } = splitTag(rest);
  const path = host === HUB && !name.includes("/") ? `library/${name}` : name;
  if (PATH.test(path) && TAG.test(tag)) return { registry: host, path, tag };
  throw new TypeError(`Cannot read image "${text}": expected [HOST[:PORT]/]NAME[:TAG] or NAME@sha256:DIGEST`);
}

function splitHost(text: string): [host: string, rest: string] {
  const slash = text.indexOf("/");
  const first = text.slice(0, Math.max(0, slash));
  return HOST.test(first) ? [first, text.slice(slash + 1)] : [HUB, text];
}

function splitTag(text: string): { name: string; tag: string } {
  const at = text.indexOf("@");
  if (at >= 0) return { name: withoutTag(text.slice(0, at)), tag: text.slice(at + 1) };
  const name = withoutTag(text);
  return { name, tag: name === text ? "latest" : text.slice(name.length + 1) };
}

const withoutTag = (text: string): string => text.replace(/:[^/:]*$/, "");

/** Without its tag: what a repository is called. */
export const repositoryOf = ({ registry, path }: Reference): string => `${registry}/${path}`;

export const formatReference = (reference: Reference): string =>
  `${repositoryOf(reference)}${reference.tag.includes(":") ? "@" : ":"}${reference.tag}`;

export function isImageReference(text: string): boolean {
  try {
    return parseReference(text) !== null;
  } catch {
    return false;
  }
}
