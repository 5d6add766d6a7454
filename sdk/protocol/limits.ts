/** Every limit of the platform, in one place. Bytes unless the name says otherwise. */
export const LIMITS = {
  /** One JSON request body. */
  bodyBytes: 32 * 1024 * 1024,
  /** One bundle. */
  bundleBytes: 128 * 1024 * 1024,
  /** One input of a call, as JSON text. Larger ones travel by way of a blob. */
  inputBytes: 4 * 1024 * 1024,
  /** One result or yield of a call, as JSON text. Larger ones travel by way of a blob. */
  resultBytes: 4 * 1024 * 1024,
  /** One input, result or yield that does. JavaScript holds no text of more than 512 Mi characters, and parsing needs it twice. */
  valueBytes: 256 * 1024 * 1024,
  /** Inputs of one create-calls request. */
  inputsPerRequest: 5_000,
  /** Header bytes of a request: names and values together. */
  headerBytes: 32 * 1024,
  /** Calls of one function that may wait at a time. */
  queuedCallsPerFunction: 2_000_000,
  /** One line of a log; longer ones are cut. */
  logLineBytes: 16 * 1024,
  /** Sustained log output of one container per second, and what a burst may take. */
  logBytesPerSecond: 256 * 1024,
  logBurstBytes: 1024 * 1024,
  /** Lines that are kept of one container without calls, the latest. */
  containerLogLines: 10_000,
  /** One checkpoint. */
  checkpointBytes: 1024 * 1024 * 1024,
  /** Commands at a time inside one container. */
  execsPerContainer: 8,
  /** Bytes of one direction of such a command that are under way and not yet used. */
  execWindowBytes: 1024 * 1024,
  /** Its program and arguments, and characters of each. */
  execArguments: 256,
  execArgumentLength: 64 * 1024,
  /** Seconds that its runner has to connect. */
  execDialSeconds: 20,
  /** Seconds after which it is ended. */
  execSeconds: 24 * 3_600,
  /** One version of an artifact; one part of its upload; and one piece of it, as a guest sends it. */
  artifactBytes: 32 * 1024 * 1024 * 1024,
  artifactPartBytes: 64 * 1024 * 1024,
  artifactPieceBytes: 1024 * 1024,
  /** One guest frame, its body not counted. */
  frameBytes: 8 * 1024 * 1024,
  /** Functions of one app. */
  functionsPerApp: 200,
  /** Tags of one request: pairs, and characters of each key and value. */
  tags: 16,
  tagLength: 128,
  /** Labels of one node or function. */
  labels: 32,
  /** Characters of a concurrency key. */
  concurrencyKeyLength: 128,
  /** Requests that may wait for one endpoint's container, per api process. */
  heldRequestsPerFunction: 256,
  /** Error message and stack of a failure, characters. */
  failureMessageLength: 8_192,
  failureStackLength: 16_384,
  /** One secret: keys, and bytes of all its values; and secrets of one function. */
  secretKeys: 64,
  secretBytes: 64 * 1024,
  secretsPerFunction: 16,
  /** One image that is built: steps, bytes of its Containerfile, lines that are kept of a build, and seconds that it may take. */
  imageSteps: 100,
  containerfileBytes: 64 * 1024,
  buildLogLines: 100_000,
  buildSeconds: 2 * 3_600,
  /** Builds at a time on one node. */
  buildsPerNode: 2,
  /** Images that a node tells of, and that it is told to pull ahead. */
  imagesPerNode: 256,
  /** Volumes of one function. */
  volumesPerFunction: 16,
  /** Transfers at a time into and out of one volume. */
  transfersPerVolume: 8,
  /** Items of one page. */
  pageItems: 500,
  /** Longest `Prefer: wait`, in seconds. */
  waitSeconds: 60,
} as const;
