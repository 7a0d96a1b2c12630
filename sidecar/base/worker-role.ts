/** Tells a worker thread of ours from any other that runs the same entry point. */
export const WORKER_ROLE = 'hopwise data plane'
