/** What a user says of a server: a program that listens. Pure. */
import type { z } from "zod";
import { type Duration, parseDuration } from "./duration.ts";
import { type ContainerOptions, given } from "./options.ts";
import type { HealthSpec, ServerSpec } from "./protocol/server.ts";

/** How a server is asked whether it is well. */
export interface HealthOptions {
  /** Answers 2xx to GET while all is well, such as `"/health"`. */
  readonly path: string;
  /**
   * Pause between two checks.
   * @default "10s"
   */
  readonly interval?: Duration;
  /**
   * Longest wait for one answer.
   * @default "5s"
   */
  readonly timeout?: Duration;
  /**
   * Failures in a row after which the container is replaced.
   * @default 3
   */
  readonly failures?: number;
}

/** Choices of `app.server`. */
export interface ServerOptions extends Omit<ContainerOptions, "retries" | "permissions" | "nodes"> {
  /**
   * Program and arguments, run in a folder with `files`. `$PORT` and `$BERTH_SOCKET` in an argument stand for where it is to
   * listen, `$BERTH_VOLUME_DATA` for where the volume mounted at `/data` is; they are in its environment too. No shell reads it. With
   * an `image` it may be left out: then the image runs what it runs by itself, in the folder that it names.
   */
  readonly command?: readonly string[];
  /**
   * Where it listens: on 127.0.0.1, or, with an `image`, on all addresses of its container, which has all ports to itself. By default
   * a free port, which it finds in `$PORT`: 8000 in a container.
   */
  readonly port?: number;
  /**
   * Whether it listens on the unix socket `$BERTH_SOCKET` instead.
   * @default false
   */
  readonly socket?: boolean;
  /** By default it is ready when it takes connections, and well until it ends. */
  readonly health?: string | HealthOptions;
  /**
   * Time that its open requests have to end when it goes, before SIGTERM. New ones go elsewhere then.
   * @default "30s"
   */
  readonly drain?: Duration;
  /** Files that it needs, relative to the module. */
  readonly files?: readonly string[];
  /**
   * Who may ask: those with a key, or everybody.
   * @default "key"
   */
  readonly auth?: "key" | "public";
}

/** Options as the wire has them. Throws a TypeError where they cannot be read; the rest is checked at deploy. */
export function serverSpec(options: ServerOptions): z.input<typeof ServerSpec> {
  const { command, image, port, socket, drain } = options;
  if (command === undefined ? image === undefined : !isCommand(command)) {
    throw new TypeError(
      'Cannot declare a server: `command` must be a list of texts, such as ["python3", "-m", "http.server", "$PORT"]' +
        (command === undefined ? ", or there must be an `image` that runs one by itself" : ""),
    );
  }
  if (drain !== undefined) parseDuration(drain);
  const health = options.health === undefined ? undefined : healthSpec(options.health);
  return {
    ...(command === undefined ? {} : { command: [...command] }),
    ...given({ port, socket, drain, health }),
  };
}

const isCommand = (command: readonly string[]): boolean =>
  Array.isArray(command) && command.length > 0 && command.every((part) => typeof part === "string");

function healthSpec(health: string | HealthOptions): z.input<typeof HealthSpec> {
  if (typeof health === "string") return { path: health };
  const { path, ...rest } = health;
  return { path, ...given(rest) };
}
