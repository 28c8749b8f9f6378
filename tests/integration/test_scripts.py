"""Programs as users write them: no `__main__` guard, lambdas, notebooks, threads, pipelines within pipelines."""

from __future__ import annotations

import json

import pytest


def test_a_script_needs_no_guard(script):
    out = script(
        """
        from olympipe_like import Pipeline

        print("started")
        res = Pipeline(range(10)).task(lambda x: x * 2).filter(lambda x: x % 4 == 0).batch(2).wait_for_result()
        print(res)
        """
    )

    assert out == "started\n[[0, 4], [8, 12], [16]]\n"


def test_a_script_with_a_guard_works_too(script):
    out = script(
        """
        from olympipe_like import Pipeline

        def double(x):
            return x * 2

        def main():
            print(Pipeline(range(3)).task(double).wait_for_result())

        if __name__ == "__main__":
            main()
        """
    )

    assert out == "[0, 2, 4]\n"


def test_a_program_given_on_the_command_line_or_standard_input_works(script):
    text = """
        import subprocess, sys

        program = '''
        from olympipe_like import Pipeline
        factor = 3
        def triple(x):
            return x * factor
        print(Pipeline(range(3)).task(triple).wait_for_result())
        '''.replace("\\n        ", "\\n")
        subprocess.run([sys.executable, "-c", program], check=True)
        subprocess.run([sys.executable, "-"], input=program.encode(), check=True)
        """

    assert script(text) == "[0, 3, 6]\n[0, 3, 6]\n"


def test_functions_of_the_script_use_its_globals_classes_and_each_other(script):
    out = script(
        """
        import enum, math
        from dataclasses import dataclass
        from typing import NamedTuple
        from olympipe_like import Pipeline

        FACTOR = 3
        TABLE = {0: "even", 1: "odd"}

        class Kind(enum.Enum):
            EVEN = 0
            ODD = 1

        @dataclass
        class Record:
            number: int
            kind: Kind

            def doubled(self):
                return Record(self.number * 2, self.kind)

        class Pair(NamedTuple):
            left: int
            right: str

        class Special(Record):
            def doubled(self):
                return super().doubled()

        def scale(x):
            return math.floor(x * FACTOR)

        def is_known(record):
            is_kind = record.kind in (Kind.EVEN, Kind.ODD) and record.kind is Kind(record.number % 2)
            return isinstance(record, Record) and is_kind

        def make(x):
            kind = Kind.EVEN if scale(x) % 2 == 0 else Kind.ODD
            return (Special if x == 2 else Record)(scale(x), kind)

        def fibonacci(n):
            return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

        records = Pipeline(range(4)).task(make).filter(is_known).wait_for_result()
        print(records)
        print(all(isinstance(r, Record) for r in records), type(records[2]) is Special, records[1].kind is Kind.ODD)
        print(Pipeline(records).task(Record.doubled).task(lambda r: (r.number, TABLE[r.number % 2])).wait_for_result())
        print(Pipeline([Pair(1, "a")]).task(lambda p: p._replace(left=5)).wait_for_result() == [Pair(5, "a")])
        print(Pipeline(range(8)).task(fibonacci).wait_for_result())
        """
    ).splitlines()

    assert out[0].startswith("[Record(number=0, kind=<Kind.EVEN: 0>), Record(number=3")
    assert out[1] == "True True True"
    assert out[2] == "[(0, 'even'), (6, 'even'), (12, 'even'), (18, 'even')]"
    assert out[3] == "True"
    assert out[4] == "[0, 1, 1, 2, 3, 5, 8, 13]"


def test_exceptions_of_the_script_can_be_caught_by_their_class(script):
    out = script(
        """
        from olympipe_like import Pipeline

        class BadPicture(Exception):
            def __init__(self, path, reason):
                super().__init__(f"{path}: {reason}")
                self.path = path

        def decode(path):
            raise BadPicture(path, "not a picture")

        try:
            Pipeline(["a.jpg"]).task(decode).wait_for_result()
        except BadPicture as error:
            print("caught", "a.jpg: not a picture" in str(error), "script.py" in str(error))
        """
    )

    assert out == "caught True True\n"


def test_closures_partials_methods_and_callable_objects_are_functions(script):
    out = script(
        """
        import functools, operator
        from olympipe_like import Pipeline

        class Adder:
            def __init__(self, n):
                self.n = n
            def __call__(self, x):
                return x + self.n
            def add(self, x):
                return x + self.n
            @staticmethod
            def negate(x):
                return -x
            @classmethod
            def name(cls, x):
                return cls.__name__
            def transform(self, x):
                return x * self.n

        class Transformer:
            def transform(self, x):
                return ("transformed", x)

        def closure(n):
            m = n * 2
            def inner(x):
                return x + m
            return inner

        def logged(function):
            @functools.wraps(function)
            def wrapper(x):
                return ("logged", function(x))
            return wrapper

        @logged
        def decorated(x):
            return x

        functions = [closure(1), functools.partial(operator.mul, 3), Adder(5).add, Adder.negate, Adder.name,
                     Transformer(), decorated, str, lambda x, y=9: x + y, functools.lru_cache(closure(2))]
        for function in functions:
            print(Pipeline([1, 2]).task(function).wait_for_result())
        print(Pipeline([1, 2]).filter(Adder(-1)).wait_for_result())
        """
    ).splitlines()

    assert out == [
        "[3, 4]",
        "[3, 6]",
        "[6, 7]",
        "[-1, -2]",
        "['Adder', 'Adder']",
        "[('transformed', 1), ('transformed', 2)]",
        "[('logged', 1), ('logged', 2)]",
        "['1', '2']",
        "[10, 11]",
        "[5, 6]",
        "[2]",
    ]


def test_a_global_changed_between_two_runs_is_seen_by_the_second(script):
    out = script(
        """
        from olympipe_like import Pipeline

        factor = 2

        def scale(x):
            return x * factor

        pipe = Pipeline(range(3)).task(scale)
        print(pipe.wait_for_result())
        factor = 10
        print(pipe.wait_for_result())
        """
    )

    assert out == "[0, 2, 4]\n[0, 10, 20]\n"


def test_cells_of_a_notebook_define_use_and_redefine_functions(script):
    out = script(
        """
        import __main__

        cells = [
            "from olympipe_like import Pipeline\\nfactor = 2",
            "class Box:\\n    def __init__(self, x):\\n        self.x = x",
            "def work(x):\\n    return Box(x * factor)",
            "boxes = Pipeline(range(3)).task(work).wait_for_result()",
            "print([box.x for box in boxes], all(type(box) is Box for box in boxes))",
            "def work(x):\\n    return Box(x + factor)",
            "factor = 100",
            "boxes = Pipeline(boxes).task(lambda box: work(box.x)).wait_for_result()",
            "print([box.x for box in boxes], all(type(box) is Box for box in boxes))",
            "class Box:\\n    def __init__(self, x):\\n        self.x = ('new', x)",
            "print([box.x for box in Pipeline(range(2)).task(work).wait_for_result()])",
        ]
        for number, cell in enumerate(cells):
            exec(compile(cell, f"<cell {number}>", "exec"), __main__.__dict__)
        """
    )

    assert out.splitlines() == [
        "[0, 2, 4] True",
        "[100, 102, 104] True",
        "[('new', 100), ('new', 101)]",
    ]


def test_functions_made_by_exec_in_a_namespace_of_their_own_work(script):
    out = script(
        """
        from olympipe_like import Pipeline

        namespace = {"Pipeline": Pipeline}
        exec("offset = 7\\ndef work(x):\\n    return x + offset", namespace)
        exec("result = Pipeline(range(3)).task(work).wait_for_result()", namespace)
        print(namespace["result"])
        """
    )

    assert out == "[7, 8, 9]\n"


def test_functions_of_a_local_module_work(script):
    script.write(
        "RATE = 4\n\ndef work(x):\n    return helper(x) * RATE\n\ndef helper(x):\n    return x + 1\n", "prepare.py"
    )

    out = script(
        """
        import prepare
        from prepare import work
        from olympipe_like import Pipeline

        print(Pipeline(range(3)).task(work).task(lambda x: prepare.helper(x)).wait_for_result())
        """
    )

    assert out == "[5, 9, 13]\n"


def test_a_local_module_edited_and_reloaded_is_used_as_edited(script):
    script.write("def work(x):\n    return ('old', x)\n", "prepare.py")

    out = script(
        """
        import importlib, pathlib
        import prepare
        from olympipe_like import Pipeline

        print(Pipeline(range(2)).task(prepare.work).wait_for_result())
        # Another length, so that the interpreter's cache cannot take it for the old file.
        pathlib.Path("prepare.py").write_text("def work(x):\\n    return ('edited', x)\\n")
        importlib.reload(prepare)
        print(Pipeline(range(2)).task(prepare.work).wait_for_result())
        print(Pipeline(range(2)).task(lambda x: prepare.work(x)).wait_for_result())
        """
    )

    assert out.splitlines() == ["[('old', 0), ('old', 1)]", *["[('edited', 0), ('edited', 1)]"] * 2]


def test_a_function_of_the_script_within_an_item_is_an_error_that_says_what_may_be(script):
    done = script.finish(
        script.start(
            """
            from olympipe_like import Pipeline

            def add(x):
                return x + 1

            def call(job):
                function, x = job
                return function(x)

            print(Pipeline([(lambda x: add(x), 1)]).task(call).wait_for_result())
            Pipeline([(add, 1)]).task(call).wait_for_result()
            """
        )
    )

    assert done.stdout == "[2]\n"
    why = next(line for line in done.stderr.splitlines() if "result was sent, but cannot be rebuilt" in line)
    assert "Can't get attribute 'add' on <module '__main__'" in why
    assert "; items may hold functions that can be imported, and lambdas, but not functions of the script" in why


def test_a_script_in_another_folder_finds_the_modules_beside_it_and_the_working_folder(script):
    (script.folder / "tools").mkdir()
    script.write("def work(path):\n    return open(path).read()\n", "tools/reading.py")
    script.write("hello", "data.txt")

    out = script(
        """
        import sys
        sys.path.insert(0, "tools")
        import reading
        from olympipe_like import Pipeline

        print(Pipeline(["data.txt"]).task(reading.work).wait_for_result())
        """
    )

    assert out == "['hello']\n"


def test_the_environment_and_working_folder_of_a_run_are_those_of_the_caller_at_that_time(script):
    (script.folder / "elsewhere").mkdir()

    out = script(
        """
        import os
        from olympipe_like import Pipeline

        pipe = Pipeline([1]).task(lambda x: (os.environ.get("COLOUR"), os.path.basename(os.getcwd())))
        os.environ["COLOUR"] = "red"
        print(pipe.wait_for_result() == [("red", os.path.basename(os.getcwd()))])
        os.environ["COLOUR"] = "blue"
        os.chdir("elsewhere")
        print(pipe.wait_for_result() == [("blue", "elsewhere")])
        """
    )

    assert out == "True\nTrue\n"


def test_a_pipeline_runs_from_a_thread_while_other_threads_run(script):
    out = script(
        """
        import threading, time
        from olympipe_like import Pipeline

        done = threading.Event()
        lock = threading.Lock()

        def busy():
            while not done.is_set():
                with lock:
                    time.sleep(0.0001)

        threads = [threading.Thread(target=busy) for _ in range(3)]
        results = []
        worker = threading.Thread(
            target=lambda: results.extend(Pipeline(range(200)).task(lambda x: x + 1, workers=2).wait_for_result())
        )
        for thread in (*threads, worker):
            thread.start()
        worker.join()
        done.set()
        for thread in threads:
            thread.join()
        print(results == list(range(1, 201)), threading.active_count())
        """
    )

    assert out == "True 1\n"


def test_two_pipelines_run_at_once_in_threads(script):
    out = script(
        """
        import threading
        from concurrent.futures import ThreadPoolExecutor
        from olympipe_like import Pipeline

        both_run = threading.Barrier(2, timeout=10)

        def run(factor):
            results = []
            for result in Pipeline(range(300)).task(lambda x: x * factor):
                if not results:
                    both_run.wait()
                results.append(result)
            return results == [x * factor for x in range(300)]

        with ThreadPoolExecutor(2) as pool:
            print(list(pool.map(run, [2, 3])))
        """
    )

    assert out == "[True, True]\n"


def test_two_pipelines_and_one_pipeline_twice_can_be_consumed_in_turn(script):
    out = script(
        """
        from olympipe_like import Pipeline

        one = Pipeline(range(1000)).task(lambda x: x + 1)
        other = Pipeline(range(1000)).task(lambda x: -x)
        print(all(a == x + 1 and b == -x and c == x + 1 for x, (a, b, c) in enumerate(zip(one, other, one))))
        """
    )

    assert out == "True\n"


def test_a_stage_may_run_a_pipeline_of_its_own(script):
    out = script(
        """
        from olympipe_like import Pipeline

        def add_up(n):
            return sum(Pipeline(range(n)).task(lambda x: x * 10, workers=2).wait_for_result())

        print(Pipeline(range(4)).task(add_up, workers=2).wait_for_result())
        """
    )

    assert out == "[0, 0, 10, 30]\n"


def test_a_pipeline_may_be_the_source_of_another(script):
    out = script(
        """
        from olympipe_like import Pipeline

        inner = Pipeline(range(5)).task(lambda x: x + 1)
        print(Pipeline(inner).task(lambda x: x * 2).wait_for_result())
        """
    )

    assert out == "[2, 4, 6, 8, 10]\n"


def test_a_stage_may_start_processes_and_threads(script):
    out = script(
        """
        import subprocess, sys, threading
        from olympipe_like import Pipeline

        def work(x):
            results = []
            thread = threading.Thread(target=results.append, args=(x,))
            thread.start()
            thread.join()
            out = subprocess.run([sys.executable, "-c", f"print({x} * 2)"], capture_output=True, text=True, check=True)
            return results[0], int(out.stdout)

        print(Pipeline(range(3)).task(work).wait_for_result())
        """
    )

    assert out == "[(0, 0), (1, 2), (2, 4)]\n"


def test_a_stage_may_use_a_pool_of_processes(script):
    out = script(
        """
        import multiprocessing
        from olympipe_like import Pipeline

        def work(x):
            with multiprocessing.get_context("fork").Pool(2) as pool:
                return pool.map(abs, [-x, x])

        print(Pipeline(range(3)).task(work).wait_for_result())
        """
    )

    assert out == "[[0, 0], [1, 1], [2, 2]]\n"


def test_what_stages_print_appears_once_and_the_library_adds_nothing(script):
    process = script.start(
        """
        import sys
        from olympipe_like import Pipeline

        def work(x):
            print("item", x)
            print("warning", x, file=sys.stderr)
            return x

        Pipeline(range(3)).task(work).wait_for_completion()
        """
    )

    done = script.finish(process)

    assert done.stdout == "item 0\nitem 1\nitem 2\n"
    assert done.stderr == "warning 0\nwarning 1\nwarning 2\n"


@pytest.mark.parametrize(
    "use",
    [
        "print(pipe.wait_for_result())",
        "print(pipe.wait_for_result(), pipe.wait_for_result())",
        "print(next(iter(pipe)))",
        "print(Pipeline([3, 0, 2]).task(lambda x: 1 // x, on_error='skip').wait_for_result())",
        "asyncio.run(first())",
    ],
)
def test_with_all_warnings_shown_there_is_none(script, use):
    script.environment["PYTHONWARNINGS"] = "default"
    process = script.start(
        f"""
        import asyncio
        from olympipe_like import Pipeline

        pipe = Pipeline(range(300)).task(abs, workers=2).batch(2).task(len, executor="thread")

        async def first():
            async for item in pipe:
                print(item)
                break

        {use}
        """
    )

    done = script.finish(process)

    assert done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("fault", ["sys.exit(0)", "sys.exit('bye')", "raise StopIteration", "exit()", "1 / 0"])
def test_a_failure_nobody_catches_ends_the_program_as_one(script, fault):
    process = script.start(
        f"""
        import sys
        from olympipe_like import Pipeline

        def decode(x):
            if x == 2:
                {fault}
            return x

        for x in Pipeline(range(5)).task(decode):
            print(x, flush=True)
        print("not reached")
        """
    )

    done = script.finish(process)

    assert done.returncode == 1
    assert done.stdout == "0\n1\n"
    assert "'decode'" in done.stderr
    assert "item 2: 2" in done.stderr


def test_modules_the_script_has_not_imported_are_not_needed(script):
    out = script(
        """
        import json, sys
        from olympipe_like import Pipeline

        heavy = ["numpy", "pytest", "IPython", "tornado", "scipy"]
        print(json.dumps(Pipeline([1]).task(lambda x: [m for m in heavy if m in sys.modules]).wait_for_result()))
        """
    )

    assert json.loads(out) == [[]]


def test_a_script_that_ends_inside_a_loop_ends(script):
    out = script(
        """
        import itertools, sys
        from olympipe_like import Pipeline

        for x in Pipeline(itertools.count()).task(lambda x: x, workers=2):
            if x == 3:
                print("leaving")
                sys.exit(0)
        """
    )

    assert out == "leaving\n"


def test_a_script_that_keeps_an_unfinished_iterator_ends(script):
    out = script(
        """
        import itertools
        from olympipe_like import Pipeline

        iterator = iter(Pipeline(itertools.count()).task(lambda x: x, workers=2))
        print(next(iterator), next(iterator))
        """
    )

    assert out == "0 1\n"


def test_a_run_in_a_forked_child_works_beside_the_parents(script):
    out = script(
        """
        import os, sys
        from olympipe_like import Pipeline

        print(Pipeline(range(2)).task(lambda x: x).wait_for_result(), flush=True)
        if os.fork() == 0:
            print(Pipeline(range(3)).task(lambda x: x).wait_for_result(), flush=True)
            os._exit(0)
        os.wait()
        print(Pipeline(range(4)).task(lambda x: x).wait_for_result())
        """
    )

    assert out == "[0, 1]\n[0, 1, 2]\n[0, 1, 2, 3]\n"
