"""One process of a tf.data service: `--role=dispatcher`, or `--role=worker`, as many as needed.

    python scripts/data_service.py --role=dispatcher --port=5050
    python scripts/data_service.py --role=worker --dispatcher=host:5050 --host=this-machine
    python -m drw_tf.train --data_service=grpc://host:5050 ...

A worker reads, decodes and augments; it needs TensorFlow and the picture files at the paths
that the trainer has them at, but neither a GPU nor drw_tf. Ends with SIGTERM or Ctrl-C.
"""

import argparse
import os
import signal
import socket
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf


def parse(argv):
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--role", required=True, choices=("dispatcher", "worker"))
    parser.add_argument("--port", type=int, default=0, help="to listen on; 0 takes a free one")
    parser.add_argument("--host", default=socket.gethostname(), help="this machine, for trainers")
    parser.add_argument("--dispatcher", help="host:port, for a worker")
    parser.add_argument("--journal", help="dispatcher: folder that makes it outlive a restart")
    options = parser.parse_args(argv)
    if (options.role == "worker") != bool(options.dispatcher):
        parser.error("--dispatcher=host:port belongs to --role=worker, and must be given there")
    if options.journal and options.role == "worker":
        parser.error("--journal belongs to --role=dispatcher")
    return options


def serve(options):
    """The server, which runs as long as it is referred to, and its address."""
    service = tf.data.experimental.service
    if options.role == "dispatcher":
        server = service.DispatchServer(
            service.DispatcherConfig(
                port=options.port,
                work_dir=options.journal,
                fault_tolerant_mode=bool(options.journal),
            )
        )
        return server, f"grpc://{options.host}:{server.target.rpartition(':')[2]}"
    address = f"{options.host}:{options.port or '%port%'}"
    server = service.WorkerServer(
        service.WorkerConfig(
            dispatcher_address=options.dispatcher,
            worker_address=address,
            data_transfer_address=address,
            port=options.port,
        )
    )
    return server, f"of grpc://{options.dispatcher}"


def main(argv=None):
    """Serves until a signal."""
    options = parse(argv)
    tf.config.set_visible_devices([], "GPU")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    server, address = serve(options)
    print(f"{options.role} {address}", flush=True)
    while server:
        signal.pause()


if __name__ == "__main__":
    main()
