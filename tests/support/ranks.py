"""Several ranks of one task, each a process of its own."""

import pickle
import socket
import traceback

import pytest

from tests.support.forked import SERVER, prepare


@pytest.fixture(scope="session")
def on_ranks(tmp_path_factory):
    """Calls a function of a module on two ranks and gives what each returned; where it raised, the exception."""
    folder = tmp_path_factory.mktemp("ranks")

    def on_ranks(function, *words, count=2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        answers = [folder / str(rank) for rank in range(count)]
        processes = []
        for rank, answer in enumerate(answers):
            answer.unlink(missing_ok=True)
            variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
            variables |= {"MASTER_ADDR": "127.0.0.1", "FREQFAST_CACHE": folder / "cache"}
            processes.append(SERVER.Process(target=_call, args=(variables, answer, function, words), daemon=True))
            processes[-1].start()
        for process in processes:
            process.join(1200)  # ends ranks that wait for each other forever, and leaves a busy machine time
            process.kill()
        return [pickle.loads(answer.read_bytes()) if answer.exists() else None for answer in answers]

    return on_ranks


def _call(variables, answer, function, words):
    prepare(variables)
    try:
        result = function(*words)
    except Exception as error:
        traceback.print_exc()
        result = error
    answer.write_bytes(pickle.dumps(result))
