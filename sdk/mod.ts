/** Berth's SDK: declare functions, call them, follow them. */
export {
  App,
  type AppOptions,
  type EndpointOptions,
  type FunctionOptions,
  type PythonOptions,
} from "./app.ts";
export { bind } from "./bind.ts";
export { CallHandle, type WaitOptions } from "./call_handle.ts";
export type { CallOptions, SubmitOptions } from "./calls.ts";
export { type ClassHandle, handle } from "./class_handle.ts";
export { Client, type ClientOptions } from "./client.ts";
export type {
  CheckpointOptions,
  ContainerContext,
  Context,
  PreemptHandler,
  PreemptNotice,
} from "./context.ts";
export { Cron, type CronOptions, type Schedule } from "./cron.ts";
export {
  cron,
  endpoint,
  enter,
  exit,
  type MemberEndpointOptions,
  method,
  type MethodOptions,
} from "./decorators.ts";
export { EndpointHandle } from "./endpoint_handle.ts";
export { CallFailedError, NonRetryableError, PlatformError } from "./errors.ts";
export type { GpuOptions, GpuRequest } from "./gpu.ts";
export { Function, FunctionHandle, type HandleOptions } from "./handle.ts";
export { type ContainerfileOptions, Image, type RegistryOptions } from "./image.ts";
export type { MapOptions, Settled } from "./map.ts";
export type { ContainerOptions, RetryOptions, ScaleOptions } from "./options.ts";
export type { Artifact, ArtifactVersion, PublishedArtifact } from "./protocol/artifacts.ts";
export type { Call, CallState, EventItem, Failure, FailureKind, LogItem } from "./protocol/calls.ts";
export type { Json, Permissions } from "./protocol/primitives.ts";
export type { Schema } from "./schema.ts";
export { Secret, type SecretOptions } from "./secret.ts";
export type { HealthOptions, ServerOptions } from "./server_options.ts";
export { Volume, type VolumeOptions } from "./volume.ts";
