"""Functions of a real `__main__`, called in a real worker: a fork of an interpreter that never saw the script.

Every shape is a script run as `python script.py`. It ships an object and plainly pickled items to the worker, calls the
object itself too, and both must give what the table says: the values, and that `is` and `isinstance` mean the same.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import pickle
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from olympipe_like._transport.callables import ShippingError, pack, unpack

ROOT = Path(__file__).resolve().parents[2]
CLOUDPICKLE = importlib.util.find_spec("cloudpickle") is not None

# Runs in the script's process; a module of its own, so the script's `__main__` holds only what the case says.
CALLER = '''
import asyncio, inspect, os, pickle, socket, sys
from olympipe_like._transport.callables import pack, pack_main_classes

def call(function, item):
    result = function(item)
    if inspect.isawaitable(result):
        async def wait():
            return await result
        return asyncio.run(wait())
    return list(result) if inspect.isgenerator(result) else result

def ask(shipments, items, classes=None, hops=1):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(40)
    connection.connect(os.environ["WORKERS"])
    with connection, connection.makefile("rwb") as file:
        pickle.dump((shipments, pack_main_classes() if classes is None else classes, items, hops), file)
        file.flush()
        failure, answer = pickle.load(file)
    if failure:
        sys.exit("in the worker: " + failure)
    return pickle.loads(answer)

def run(obj, items, hops=1):
    there = ask([pack(obj)], pickle.dumps(items), hops=hops)
    here = [call(obj, item) for item in items]
    assert there == here, f"worker: {there!r}, caller: {here!r}"
    print(repr(there))
'''

# Stands in for the hub process: forks a worker for each connection.
WORKERS = '''
import os, pickle, signal, socket, sys, traceback
import caller
from olympipe_like._transport import callables

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = socket.socket(socket.AF_UNIX)
listener.bind(os.environ["WORKERS"])
listener.listen(16)
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    if os.fork():
        connection.close()
        continue
    with connection, connection.makefile("rwb") as file:
        try:
            shipments, classes, items, hops = pickle.load(file)
            callables.install_main()
            functions = [callables.unpack(shipment, classes) for shipment in shipments]
            if hops > 1:
                shipments = [callables.pack(function) for function in functions]
                answer = pickle.dumps(caller.ask(shipments, items, hops=hops - 1))
            else:
                items = pickle.loads(items)
                answers = [[caller.call(function, item) for item in items] for function in functions]
                answer = pickle.dumps(answers[0] if len(answers) == 1 else answers)
            pickle.dump((None, answer), file)
        except BaseException:
            pickle.dump((traceback.format_exc(), None), file)
    os._exit(0)
'''


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """Give the environment in which scripts find the module `caller` and the workers."""
    folder = tmp_path_factory.mktemp("w")
    (folder / "caller.py").write_text(CALLER)
    (folder / "workers.py").write_text(WORKERS)
    path = os.pathsep.join([str(ROOT), str(folder)])
    environment = {**os.environ, "PYTHONPATH": path, "WORKERS": str(folder / "socket")}
    environment["PYTHONWARNINGS"] = "error"
    with subprocess.Popen(
        [sys.executable, str(folder / "workers.py")], env=environment, stdout=subprocess.PIPE, cwd=folder
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        yield environment
        process.kill()


@pytest.fixture
def run_script(workers, tmp_path):
    """Give a function that runs a script and returns what it printed."""

    def run_script(source: str, *, arguments=("script.py",)) -> str:
        (tmp_path / "script.py").write_text(source)
        done = subprocess.run(
            [sys.executable, *arguments], env=workers, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run_script


@dataclasses.dataclass(frozen=True)
class Case:
    """A script, what it ships, what it is called with and what comes out."""

    source: str
    gives: list
    items: str = "[1, 2]"
    ship: str = "f"
    since: tuple[int, int] = (3, 10)
    needs: str = "sys"

    @property
    def script(self) -> str:
        return f"{dedent(self.source)}\nimport caller\ncaller.run({self.ship}, {self.items})\n"


class Shown(str):
    """What an object of the script's own class shows of itself."""

    __slots__ = ()
    __repr__ = str.__str__


def numbered(cases: dict[str, Case]):
    return [
        pytest.param(
            case,
            id=name,
            marks=[
                pytest.mark.skipif(sys.version_info < case.since, reason=f"needs Python {case.since}"),
                pytest.mark.skipif(importlib.util.find_spec(case.needs) is None, reason=f"needs {case.needs}"),
            ],
        )
        for name, case in cases.items()
    ]


FUNCTIONS = {
    "a plain function": Case("def f(x): return x + 1", [2, 3]),
    "a lambda": Case("f = lambda x: x * 10", [10, 20]),
    "a nameless lambda": Case("K = 3", [4, 5], ship="lambda x: x + K"),
    "a global": Case("K = 5\ndef f(x): return x + K", [6, 7]),
    "a global of a global of a global": Case(
        """
        K = 7
        def third(x): return x + K
        def second(x): return third(x)
        def first(x): return second(x)
        f = lambda x: first(x)
        """,
        [8, 9],
    ),
    "an imported module": Case("import os.path as p, re\ndef f(x): return p.join('a', re.sub('1', 'one', str(x)))", ["a/one", "a/2"]),
    "an imported function": Case("from math import floor\nfrom json import dumps\ndef f(x): return floor(x), dumps([x])", [(1, "[1]"), (2, "[2]")]),
    "a function of a module": Case("import math", [1.0, 2.0], items="[1, 4]", ship="math.sqrt"),
    "a lambda of a module": Case(
        """
        import caller
        exec("secret = 4\\nmade = lambda x: x + secret", vars(caller))
        f = caller.made
        exec("secret = 5", vars(caller))
        """,
        [True, True],
        ship="lambda x: f.__globals__ is vars(caller)",
    ),
    "a global generator function": Case("def f(x):\n    yield from range(x)", [[0], [0, 1]]),
    "an async function": Case("import asyncio\nasync def f(x):\n    await asyncio.sleep(0)\n    return x", [1, 2]),
    "recursion": Case("def f(n): return 1 if n < 2 else n * f(n - 1)", [120], items="[5]"),
    "recursion in a closure": Case(
        """
        def make(k):
            def g(n): return k if n == 0 else g(n - 1) + 1
            return g
        """,
        [13],
        items="[3]",
        ship="make(10)",
    ),
    "mutual recursion": Case(
        """
        def even(n): return True if n == 0 else odd(n - 1)
        def odd(n): return False if n == 0 else even(n - 1)
        """,
        [True, False],
        items="[10, 7]",
        ship="even",
    ),
    "mutual recursion of closures": Case(
        """
        def make():
            def even(n): return True if n == 0 else odd(n - 1)
            def odd(n): return False if n == 0 else even(n - 1)
            return odd
        """,
        [False, True],
        items="[10, 7]",
        ship="make()",
    ),
    "a closure": Case("def make(k):\n    return lambda x: x + k", [11, 12], ship="make(10)"),
    "a closure over a cell that changes": Case(
        """
        def make():
            n = 0
            def count(x):
                nonlocal n
                n += x
                return n
            return count
        """,
        [1, 3],
        ship="make()",
    ),
    "two closures over one cell": Case(
        """
        def make():
            n = 0
            def add(x):
                nonlocal n
                n += x
            def get(): return n
            return add, get
        def both(pair, x):
            pair[0](x)
            return pair[1]()
        from functools import partial
        """,
        [1, 3],
        ship="partial(both, make())",
    ),
    "two global closures over one cell": Case(
        """
        def make():
            n = 0
            def add(x):
                nonlocal n
                n += x
            def get(): return n
            return add, get
        add, get = make()
        def f(x):
            add(x)
            return get()
        """,
        [1, 3],
    ),
    "a closure over an empty cell": Case(
        """
        def make():
            def g(x): return late if x > 1 else x
            if False: late = 1
            return g
        """,
        [1],
        items="[1]",
        ship="make()",
    ),
    "default arguments": Case("def f(x, k=3, *, j=4): return x + k + j", [8, 9]),
    "a default argument that changes": Case(
        "def f(x, seen=[]):\n    seen.append(x)\n    return list(seen)", [[1], [1, 2]]
    ),
    "annotations": Case(
        """
        class Point: pass
        def f(x: "Point", y: Point = None) -> Point:
            return f.__annotations__["y"] is Point, f.__annotations__["x"]
        """,
        [(True, "Point")],
        items="[1]",
    ),
    "attributes of a function": Case("def f(x): return x + f.k\nf.k = 2", [3, 4]),
    "docstring, name and qualified name": Case(
        """
        def make():
            def g(x):
                "Say who you are."
                return g.__doc__, g.__name__, g.__qualname__, g.__module__
            return g
        """,
        [("Say who you are.", "g", "make.<locals>.g", "__main__")],
        items="[1]",
        ship="make()",
    ),
    "dunder file and name": Case(
        "import os\ndef f(x): return os.path.basename(__file__), __name__", [("script.py", "__main__")], items="[1]"
    ),
    "a global that a function sets": Case("total = 0\ndef f(x):\n    global total\n    total += x\n    return total", [1, 3]),
    "a global used only by a nested function": Case(
        "K = 2\ndef f(x):\n    def g(y):\n        return [K * z for z in (y,)]\n    return g(x)", [[2], [4]]
    ),
    "a global used in a class body inside a function": Case(
        "K = 2\ndef f(x):\n    class C:\n        k = K\n    return C.k + x", [3, 4]
    ),
    "a comprehension, f-string and walrus": Case(
        "K = 2\ndef f(x): return [f'{y}{K}' for y in range(x) if (z := y + K)]", [["02"], ["02", "12"]]
    ),
    "an attribute called like a global that cannot travel": Case(
        """
        import threading
        real = threading.Lock()
        def f(x): return complex(x).real
        """,
        [1.0, 2.0],
    ),
    "a name called like a builtin": Case("def len(x): return 'mine'\ndef f(x): return len(x)", ["mine"], items="[[]]"),
    "functools.wraps": Case(
        """
        import functools
        def twice(g):
            @functools.wraps(g)
            def call(x): return g(g(x))
            return call
        @twice
        def f(x): return x + K
        K = 1
        """,
        [3, 4],
    ),
    "functools.wraps around a function of a module": Case(
        """
        import functools, math
        K = 1
        @functools.wraps(math.ceil)
        def f(x): return math.ceil(x) + K
        def run(x): return f(x), f.__globals__ is globals()
        """,
        [(2, True)],
        items="[1]",
        ship="run",
    ),
    "lru_cache": Case(
        "import functools\n@functools.lru_cache(maxsize=9, typed=True)\ndef f(n): return n if n < 2 else f(n-1) + f(n-2)",
        [55],
        items="[10]",
    ),
    "lru_cache keeps its parameters": Case(
        "import functools\n@functools.lru_cache(maxsize=9, typed=True)\ndef g(n): return n\ndef f(x): return g.cache_parameters(), g(x)",
        [({"maxsize": 9, "typed": True}, 1)],
        items="[1]",
    ),
    "lru_cache of a closure that calls itself": Case(
        """
        import functools
        def make():
            @functools.cache
            def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
            return fib
        """,
        [55],
        items="[10]",
        ship="make()",
    ),
    "singledispatch": Case(
        """
        import functools
        @functools.singledispatch
        def f(x): return "other"
        @f.register
        def _(x: int): return "int"
        @f.register(str)
        def g(x): return "str"
        """,
        ["int", "str", "other"],
        items="[1, 'a', 2.0]",
    ),
    "a context manager function": Case(
        """
        import contextlib
        @contextlib.contextmanager
        def manage(x):
            yield x + 1
        def f(x):
            with manage(x) as y: return y
        """,
        [2, 3],
    ),
    "a partial": Case("from functools import partial\ndef g(k, x): return x + k", [11, 12], ship="partial(g, 10)"),
    "a partial of a partial with keywords": Case(
        "from functools import partial\ndef g(x, *, a, b): return x + a + b", [6, 7], ship="partial(partial(g, a=2), b=3)"
    ),
    "an exec'd function whose name is __main__": Case(
        """
        space = {"__name__": "__main__"}
        exec("K = 3\\ndef h(x): return x + K\\ndef g(x): return h(x)", space)
        """,
        [4, 5],
        ship="space['g']",
    ),
    "an exec'd function with a nameless space": Case(
        "space = {}\nexec('K = 3\\ndef g(n): return K if n == 0 else g(n - 1)', space)\nf = space['g']", [3, 3]
    ),
    "two exec'd functions share their space": Case(
        """
        space = {"__name__": "elsewhere", "n": 0}
        exec('''if True:
            def add(x):
                global n
                n += x
            def get(): return n
        ''', space)
        add, get = space["add"], space["get"]
        def f(x):
            add(x)
            return get()
        """,
        [1, 3],
    ),
    "an exec'd function in main": Case("K = 3\nexec('def f(x): return x + K')", [4, 5]),
    "main itself": Case(
        "import sys\nK = 4\nmain = sys.modules['__main__']\ndef f(x): return main.K + x, vars(main) is globals()",
        [(5, True)],
        items="[1]",
        ship="lambda x: (main.K + x + (K - K), vars(main) is globals())",
    ),
    "globals as a value": Case(
        "from functools import partial\nK = 3\ndef g(space, x): return space is globals() and space['K'] is K",
        [True],
        items="[1]",
        ship="partial(g, globals())",
    ),
    "standard output": Case("import sys\ndef f(x, to=sys.stderr): return to is sys.stderr", [True], items="[1]"),
    "an alias": Case("def g(x): return x\nh = g\ndef f(x): return h is g, h(x)", [(True, 1)], items="[1]"),
    "a function called by another name only": Case("def g(x): return x\nh = g\ndel g\ndef f(x): return h(x)", [1, 2]),
    "no globals at all": Case("", [1, 2], ship="int"),
}

DATA = {
    "a list": Case("L = [1, 2]\ndef f(x): return L + [x]", [[1, 2, 1], [1, 2, 2]]),
    "a regular expression": Case("import re\nR = re.compile('a+')\ndef f(x): return R.findall(x)", [["aa", "a"]], items="['aaba']"),
    "one list that two functions share": Case(
        """
        L = []
        def add(x): L.append(x)
        def size(): return len(L)
        def f(x):
            add(x)
            return size()
        """,
        [1, 2],
    ),
    "one list by name and as an argument": Case(
        "from functools import partial\nL = [1]\ndef g(l, x): return l is L", [True, True], ship="partial(g, L)"
    ),
    "one list by two names": Case("A = B = [1]\ndef f(x): return A is B", [True], items="[1]"),
    "one list inside another": Case("A = [1]\nB = {'a': A}\ndef f(x): return B['a'] is A", [True], items="[1]"),
    "a nameless list inside two others": Case(
        "A = {'a': []}\nB = [A['a']]\ndef f(x): return B[0] is A['a']", [True], items="[1]"
    ),
    "a nameless list in a global and in the object": Case(
        "from functools import partial\nA = {'a': []}\ndef g(l, x): return l is A['a']", [True], items="[1]", ship="partial(g, A['a'])"
    ),
    "lists that hold each other": Case(
        "A = []\nB = [A]\nA.append(B)\ndef f(x): return A[0] is B and B[0] is A", [True], items="[1]"
    ),
    "a list that holds itself": Case("A = []\nA.append(A)\ndef f(x): return A[0] is A", [True], items="[1]"),
    "a table of functions": Case(
        "def one(x): return x + 1\ndef two(x): return x + 2\nT = {1: one, 2: two, 3: lambda x: T}\n"
        "def f(x): return T[x](x), T[1] is one, T[3](0) is T",
        [(2, True, True), (4, True, True)],
    ),
    "a deep chain": Case(
        "chain = None\nfor n in range(400): chain = [n, chain]\n"
        "def f(x):\n    at, n = chain, 0\n    while at: at, n = at[1], n + 1\n    return n",
        [400],
        items="[1]",
    ),
    "a big array": Case(
        "import numpy as np\nA = np.arange(6_250_000, dtype=np.int64)\ndef f(x): return int(A[x]), A.nbytes",
        [(1, 50_000_000)],
        items="[1]",
        needs="numpy",
    ),
    "numpy functions, dtypes and scalars": Case(
        "import numpy as np\nfrom numpy import add\nD = np.dtype('f4')\nS = np.float64(2)\ndef f(x): return float(add(x, S)), D.name",
        [(3.0, "float32")],
        items="[1]",
        needs="numpy",
    ),
    "a view into memory": Case("def make(m):\n    return lambda x: bytes(m)[x]", [98], items="[1]", ship="make(memoryview(b'abc'))", needs="cloudpickle"),
    "random numbers": Case("import random\nR = random.Random(3)\ndef f(x): return R.random()", [0.23796462709189137], items="[1]"),
    "a logger": Case("import logging\nlog = logging.getLogger('a.b')\ndef f(x): return log.name, log is logging.getLogger('a.b')", [("a.b", True)], items="[1]"),
    "types of the interpreter": Case(
        "import types\nT = [type(None), type(...), types.FunctionType, type(NotImplemented), int]\ndef f(x): return isinstance(f, T[2]), T[0] is type(None)",
        [(True, True)],
        items="[1]",
    ),
    "a sentinel that pickles by its name": Case(
        "class Missing:\n    def __reduce__(self): return 'MISSING'\nMISSING = Missing()\ndef f(x): return x is MISSING",
        [True, False],
        items="[MISSING, 1]",
    ),
    "a weak reference": Case(
        "import weakref\nclass C: pass\nc = C()\nr = weakref.ref(c)\ndef f(x): return r() is c", [True], items="[1]"
    ),
    "an exception": Case(
        "class Mine(ValueError):\n    pass\ndef f(x):\n    try:\n        raise Mine(x)\n    except ValueError as e:\n        return type(e) is Mine, e.args",
        [(True, (1,))],
        items="[1]",
    ),
}

CLASSES = {
    "isinstance in both directions": Case(
        """
        class Point:
            def __init__(self, x): self.x = x
            def __eq__(self, other): return type(self) is type(other) and self.x == other.x
        def f(p): return isinstance(p, Point), Point(p.x + 1)
        """,
        [True],
        items="[Point(1)]",
        ship="lambda p: f(p)[0] and type(f(p)[1]) is Point",
    ),
    "items come back as the caller's class": Case(
        """
        class Point:
            def __init__(self, x): self.x = x
            def __eq__(self, other): return type(self) is type(other) and self.x == other.x
            def __repr__(self): return 'same'
        def f(p): return Point(p.x + 1)
        """,
        [Shown("same")],
        items="[Point(1)]",
    ),
    "items of a class that no function mentions": Case(
        """
        TAX = 2
        class Price:
            def __init__(self, x): self.x = x
            def total(self): return self.x + TAX
            class Inner:
                def total(self): return 'inner'
        """,
        [3, "inner"],
        items="[Price(1), Price.Inner()]",
        ship="lambda p: p.total()",
    ),
    "a class as the function": Case(
        "class C:\n    def __init__(self, x): self.x = x\n    def __eq__(self, o): return isinstance(o, C)\n    def __repr__(self): return 'C'",
        [Shown("C")],
        items="[1]",
        ship="C",
    ),
    "a nested class": Case(
        "class Outer:\n    class Inner:\n        k = 3\ndef f(x): return isinstance(x, Outer.Inner), Outer.Inner.__qualname__, x.k",
        [(True, "Outer.Inner", 3)],
        items="[Outer.Inner()]",
    ),
    "a nested class on its own": Case(
        "class Outer:\n    class Inner:\n        k = 3\nfrom functools import partial\ndef g(kind, x): return kind is Outer.Inner",
        [True],
        items="[1]",
        ship="partial(g, Outer.Inner)",
    ),
    "super in methods": Case(
        """
        class A:
            def name(self): return 'A'
        class B(A):
            def name(self): return super().name() + 'B'
        class C(B):
            def name(self): return super().name() + 'C' + __class__.__name__
        def f(x): return C().name()
        """,
        ["ABCC"],
        items="[1]",
    ),
    "a class that refers to itself": Case(
        "class Node:\n    def more(self): return Node()\n    kind = None\nNode.kind = Node\ndef f(x): return type(Node().more()) is Node and Node.kind is Node",
        [True],
        items="[1]",
    ),
    "classes that refer to each other": Case(
        """
        class A:
            def other(self): return B()
        class B:
            friend = A
            def other(self): return A()
        A.friend = B
        def f(x): return A.friend is B, B.friend is A, type(A().other()) is B, type(B().other()) is A
        """,
        [(True, True, True, True)],
        items="[1]",
    ),
    "a base class that knows its subclass": Case(
        "class Base: pass\nclass Sub(Base): pass\nBase.best = Sub\ndef f(x): return issubclass(Base.best, Base), Base.best is Sub",
        [(True, True)],
        items="[1]",
        ship="lambda x: f(x)",
    ),
    "a class that holds an instance of itself": Case(
        "class C:\n    __slots__ = ('x',)\n    def __init__(self): self.x = 1\nC.zero = C()\nZERO = C.zero\ndef f(x): return C.zero is ZERO, type(ZERO) is C, ZERO.x",
        [(True, True, 1)],
        items="[1]",
    ),
    "properties, class methods and static methods": Case(
        """
        import functools
        K = 2
        class C:
            def __init__(self): self._x = 1
            @property
            def x(self): return self._x + K
            @x.setter
            def x(self, value): self._x = value
            @classmethod
            def make(cls): return cls()
            @staticmethod
            def add(a, b): return a + b + K
            @functools.cached_property
            def once(self): return [self.x]
        def f(v):
            c = C.make()
            c.x = v
            return c.x, C.add(1, v), type(c) is C, c.once is c.once
        """,
        [(3, 4, True, True)],
        items="[1]",
    ),
    "slots": Case(
        "class C:\n    __slots__ = ('x', '__y')\n    def __init__(self, x):\n        self.x = x\n        self.__y = x\n    def y(self): return self.__y\n"
        "def f(x): return C(x).x, C(x).y(), hasattr(C(x), '__dict__')",
        [(1, 1, False)],
        items="[1]",
    ),
    "descriptors with a name": Case(
        """
        class Field:
            def __set_name__(self, owner, name): self.name = name
            def __get__(self, obj, kind): return self.name
        class C:
            a = Field()
        def f(x): return C().a
        """,
        ["a"],
        items="[1]",
    ),
    "a dataclass": Case(
        """
        from dataclasses import dataclass, field, fields, replace, asdict, KW_ONLY, InitVar
        from typing import ClassVar
        @dataclass(order=True)
        class P:
            x: int
            tags: list = field(default_factory=list)
            _: KW_ONLY
            k: int = 3
            count: ClassVar[int] = 0
            start: InitVar[int] = 5
            def __post_init__(self, start): self.k += start
            def norm(self): return self.x ** 2
        def f(p):
            return [g.name for g in fields(P)], P(p.x, k=1) < P(9), isinstance(p, P), asdict(P(2)), p == P(1), p.norm()
        """,
        [(["x", "tags", "k"], True, True, {"x": 2, "tags": [], "k": 8}, True, 1)],
        items="[P(1)]",
    ),
    "a frozen dataclass with slots": Case(
        """
        import dataclasses
        @dataclasses.dataclass(frozen=True, slots=True)
        class P:
            x: int
            y: int = 2
        def f(p):
            try:
                p.x = 3
            except dataclasses.FrozenInstanceError:
                return dataclasses.replace(p, y=5), hash(p) == hash(P(1)), hasattr(p, '__dict__')
        """,
        [(3, True, False)],
        items="[P(1)]",
        ship="lambda p: (f(p)[0].y - 2, *f(p)[1:])",
    ),
    "dataclass defaults stay missing": Case(
        "import dataclasses\n@dataclasses.dataclass\nclass P:\n    x: int\ndef f(p): return dataclasses.fields(P)[0].default is dataclasses.MISSING",
        [True],
        items="[P(1)]",
    ),
    "a dataclass decorated and derived": Case(
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 1\n@dataclass\nclass B(A):\n    y: int = 2\ndef f(b): return b == B(1, 2), isinstance(b, A)",
        [(True, True)],
        items="[B()]",
    ),
    "typing.NamedTuple": Case(
        "from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int = 4\n    def sum(self): return self.x + self.y\n"
        "def f(p): return p.sum(), isinstance(p, P), P(7), p._replace(y=1), P._fields, P._make([1, 2]).y",
        [(5, True, (7, 4), (1, 1), ("x", "y"), 2)],
        items="[P(1)]",
        ship="lambda p: (*f(p)[:2], tuple(f(p)[2]), tuple(f(p)[3]), *f(p)[4:])",
    ),
    "collections.namedtuple": Case(
        "from collections import namedtuple\nP = namedtuple('P', 'x y', defaults=[4])\ndef f(p): return p.x + p.y, isinstance(p, P), P._field_defaults",
        [(5, True, {"y": 4})],
        items="[P(1)]",
    ),
    "an abstract base class": Case(
        """
        import abc
        class Shape(abc.ABC):
            @abc.abstractmethod
            def area(self): ...
            @property
            @abc.abstractmethod
            def name(self): ...
        class Square(Shape):
            name = 'square'
            def __init__(self, a): self.a = a
            def area(self): return self.a ** 2
        @Shape.register
        class Virtual: pass
        def f(s):
            try:
                Shape()
            except TypeError:
                return isinstance(s, Shape), s.area(), isinstance(Virtual(), Shape), isinstance(1, Shape)
        """,
        [(True, 9, True, False)],
        items="[Square(3)]",
    ),
    "an abstract class of the library": Case(
        "from collections.abc import Mapping\nclass M(Mapping):\n    def __len__(self): return 1\n    def __iter__(self): return iter('a')\n    def __getitem__(self, k): return k\n"
        "def f(x): return dict(M()), isinstance(M(), Mapping)",
        [({"a": "a"}, True)],
        items="[1]",
    ),
    "a metaclass": Case(
        """
        made = []
        class Meta(type):
            def __new__(meta, name, bases, space, *, tag):
                made.append(name)
                return super().__new__(meta, name, bases, {**space, 'tag': tag})
            def __init__(cls, name, bases, space, *, tag): super().__init__(name, bases, space)
            def __len__(cls): return 0
            @property
            def shout(cls): return cls.__name__.upper()
        class Thing(metaclass=Meta, tag='t'):
            def name(self): return type(self).tag
        def f(x): return type(Thing) is Meta, Thing.shout, Thing().name(), len(Thing), made
        """,
        [(True, "THING", "t", 0, ["Thing"])],
        items="[1]",
    ),
    "a hook for subclasses with an argument": Case(
        """
        class Plugin:
            known = []
            def __init_subclass__(cls, *, key, **rest):
                super().__init_subclass__(**rest)
                cls.key = key
                Plugin.known.append(cls)
        class A(Plugin, key='a'): pass
        class B(A, key='b'): pass
        def f(x):
            class C(B, key='c'): pass
            return [k.key for k in Plugin.known], Plugin.known[0] is A
        """,
        [(["a", "b", "c"], True)],
        items="[1]",
    ),
    "a generic class": Case(
        """
        from typing import Generic, TypeVar, get_type_hints
        T = TypeVar('T', bound=int)
        U = TypeVar('U', int, str)
        class Box(Generic[T]):
            def __init__(self, value: T): self.value = value
            def get(self) -> T: return self.value
        class Two(Box[T], Generic[T, U]): pass
        class Ints(Box[int]): pass
        Alias = Box[int]
        def f(b):
            return b.get(), isinstance(b, Box), Box.__parameters__ == (T,), Two.__parameters__ == (T, U), \\
                Alias(2).get(), Ints.__orig_bases__ == (Box[int],), T.__bound__, U.__constraints__, T.__module__, \\
                get_type_hints(Box.get)['return'] is T
        """,
        [(1, True, True, True, 2, True, int, (int, str), "__main__", True)],
        items="[Box(1)]",
        ship="lambda b: f(b)",
    ),
    "a protocol": Case(
        """
        from typing import Protocol, runtime_checkable
        @runtime_checkable
        class Sized(Protocol):
            def size(self) -> int: ...
        class A:
            def size(self): return 1
        class B(Sized):
            def size(self): return 2
        def f(x): return isinstance(A(), Sized), isinstance(1, Sized), B().size(), isinstance(B(), Sized)
        """,
        [(True, False, 2, True)],
        items="[1]",
    ),
    "typing.NewType, ParamSpec and TypedDict": Case(
        """
        from typing import NewType, ParamSpec, TypedDict, Callable
        P = ParamSpec('P')
        Id = NewType('Id', int)
        class Movie(TypedDict, total=False):
            name: str
        def deco(g: Callable[P, int]) -> Callable[P, int]: return g
        @deco
        def f(x: Id): return Id(x), Movie(name='a'), Movie.__total__, P.__name__, Id.__supertype__ is int
        """,
        [(1, {"name": "a"}, False, "P", True)],
        items="[1]",
    ),
    "type parameters of Python 3.12": Case(
        """
        type Pair[T] = tuple[T, T]
        class Box[T: int]:
            def get[U](self, x: U) -> U: return x
        def f[V](x: V) -> V: return Box[int]().get(x), Pair.__name__, Box.__type_params__[0].__name__, f.__type_params__[0].__name__
        """,
        [(1, "Pair", "T", "V")],
        items="[1]",
        since=(3, 12),
    ),
    "variadic type variables": Case(
        "from typing import Generic, TypeVarTuple\nTs = TypeVarTuple('Ts')\nclass A(Generic[*Ts]): pass\ndef f(x): return A.__parameters__ == (Ts,)",
        [True],
        items="[1]",
        since=(3, 11),
    ),
    "a local class": Case(
        """
        def make(k):
            class Local:
                def __init__(self, x): self.x = x
                def get(self): return self.x + k + len(super().__dir__()) * 0
            class Sub(Local):
                def get(self): return super().get() + 1
            return lambda x: (Sub(x).get(), isinstance(Sub(x), Local), Sub.__mro__[1] is Local)
        """,
        [(12, True, True)],
        items="[1]",
        ship="make(10)",
    ),
    "a local class that closures share": Case(
        """
        def make():
            class Local: pass
            return (lambda: Local()), (lambda x: isinstance(x, Local))
        new, check = make()
        def f(x): return check(new())
        """,
        [True],
        items="[1]",
    ),
    "a bound method": Case("class C:\n    k = 3\n    def add(self, x): return x + self.k", [4, 5], ship="C().add"),
    "a bound method of a global": Case(
        "class C:\n    def __init__(self): self.n = 0\n    def add(self, x):\n        self.n += x\n        return self.n == c.n\nc = C()",
        [True, True],
        ship="c.add",
    ),
    "a bound class method": Case("class C:\n    k = 3\n    @classmethod\n    def add(cls, x): return x + cls.k, cls is C", [(4, True)], items="[1]", ship="C.add"),
    "a method of the parent": Case(
        "class A:\n    def get(self, x): return 'A'\nclass B(A):\n    def get(self, x): return 'B'\n    def up(self): return super().get",
        ["A"],
        items="[1]",
        ship="B().up()",
    ),
    "a method as a function": Case("class C:\n    def get(self): return 5", [5], items="[C()]", ship="C.get"),
    "a static method as a function": Case("class C:\n    @staticmethod\n    def get(x): return x, __class__.__name__ if 0 else C.get(2) if x == 1 else 0", [(1, (2, 0))], items="[1]", ship="C.get"),
    "a callable object": Case(
        "class C:\n    def __init__(self, k): self.k = k\n    def __call__(self, x): return x + self.k", [4, 5], ship="C(3)"
    ),
    "an object that holds functions": Case(
        "K = 2\nclass C:\n    def __init__(self, *g): self.g = g\n    def __call__(self, x): return [g(x) for g in self.g]\ndef g(x): return x + K",
        [[3, 10]],
        items="[1]",
        ship="C(g, lambda x: x * 10)",
    ),
    "a class as decorator": Case(
        """
        import functools
        class counted:
            def __init__(self, g):
                functools.update_wrapper(self, g)
                self.g, self.n = g, 0
            def __call__(self, x):
                self.n += 1
                return self.g(x), self.n
        @counted
        def f(x): return x
        """,
        [(1, 1), (2, 2)],
    ),
    "a class with state": Case(
        "class C:\n    n = 0\n    @classmethod\n    def up(cls):\n        cls.n += 1\n        return cls.n\nC.up()\ndef f(x): return C.up()", [2, 3]
    ),
    "objects that hold each other": Case(
        "class N:\n    def __hash__(self): return 1\na, b = N(), N()\na.b, b.a = b, a\ndef f(x): return a.b is b, b.a is a", [(True, True)], items="[1]"
    ),
    "an object with its own way to pickle": Case(
        "import threading\nclass C:\n    def __init__(self): self.lock, self.x = threading.Lock(), 1\n    def __getstate__(self): return {'x': self.x}\n"
        "    def __setstate__(self, s): self.__init__()\nc = C()\ndef f(x):\n    with c.lock: return c.x",
        [1],
        items="[1]",
    ),
    "a class made by a library": Case(
        "import types\nC = types.new_class('C', (dict,), {}, lambda s: s.update(k=1))\ndef f(x): return C(a=x)['a'], isinstance(C(), dict), C.k",
        [(1, True, 1)],
        items="[1]",
    ),
    "classes that __dict__ and __weakref__ are for": Case(
        "import weakref\nclass C: pass\ndef f(x):\n    c = C()\n    c.x = 1\n    return weakref.ref(c)() is c, C.__dict__['__dict__'].__objclass__ is C",
        [(True, True)],
        items="[1]",
    ),
}

COLOR = """
from enum import Enum, IntEnum, Flag, IntFlag, auto, unique
"""
ENUMS = {
    "members": Case(
        COLOR + "class Color(Enum):\n    RED = 1\n    BLUE = 2\ndef f(c): return c is Color.RED, Color(2) is Color.BLUE, Color['RED'] is Color.RED, list(Color) == [Color.RED, Color.BLUE], c.name",
        [(True, True, True, True, "RED"), (False, True, True, True, "BLUE")],
        items="[Color.RED, Color.BLUE]",
    ),
    "members come back": Case(
        COLOR + "class Color(Enum):\n    RED = 1\n    BLUE = 2\n    def __repr__(self): return self.name.lower()\ndef f(c): return Color.BLUE",
        [Shown("blue")],
        items="[Color.RED]",
    ),
    "members named by the function alone": Case(COLOR + "class Color(Enum):\n    RED = 1\nRED = Color.RED\ndef f(c): return RED is c", [True], items="[Color.RED]"),
    "a member as an argument": Case(
        COLOR + "class Color(Enum):\n    RED = 1\ndef f(c, d=Color.RED): return c is d", [True], items="[Color.RED]"
    ),
    "aliases": Case(
        COLOR + "class Color(Enum):\n    RED = 1\n    CRIMSON = 1\ndef f(c): return Color.CRIMSON is Color.RED, list(Color.__members__), len(Color)",
        [(True, ["RED", "CRIMSON"], 1)],
        items="[1]",
    ),
    "automatic values": Case(
        COLOR + "class Color(Enum):\n    def _generate_next_value_(name, *rest): return name.lower()\n    RED = auto()\n    BLUE = auto()\ndef f(c): return Color.RED.value, Color('blue') is Color.BLUE",
        [("red", True)],
        items="[1]",
    ),
    "methods": Case(
        COLOR + """
class Color(Enum):
    RED = 1
    BLUE = 2
    def next(self): return Color.BLUE if self is Color.RED else Color.RED
    @classmethod
    def first(cls): return cls.RED
    @property
    def loud(self): return self.name + '!'
    @classmethod
    def _missing_(cls, value): return cls.RED
    def __str__(self): return 'str ' + self.name
def f(c): return c.next() is Color.BLUE, Color.first() is c, c.loud, Color(77) is c, str(c)
""",
        [(True, True, "RED!", True, "str RED")],
        items="[Color.RED]",
    ),
    "IntEnum": Case(
        COLOR + "class N(IntEnum):\n    A = 1\n    B = 2\ndef f(n): return n + 1 == N.B, N.B > n, isinstance(n, int), N(1) is N.A, {N.A: 5}[1]",
        [(True, True, True, True, 5)],
        items="[N.A]",
    ),
    "a mixed-in str": Case(
        COLOR + "class S(str, Enum):\n    A = 'a'\n    B = auto\n    def up(self): return self.upper()\ndef f(s): return s.up(), s == 'a', isinstance(s, S), S('a') is s",
        [("A", True, True, True)],
        items="[S.A]",
    ),
    "StrEnum": Case("from enum import StrEnum, auto\nclass S(StrEnum):\n    A = auto()\ndef f(s): return s is S.A, str(s), s == 'a'", [(True, "a", True)], items="[S.A]", since=(3, 11)),
    "a mixed-in date": Case(
        COLOR + "from datetime import date\nclass D(date, Enum):\n    X = 2020, 1, 2\ndef f(d): return d is D.X, d.year, isinstance(d, date)", [(True, 2020, True)], items="[1]", ship="lambda x: f(D.X)"
    ),
    "tuples taken apart by __init__": Case(
        COLOR + "class Planet(Enum):\n    EARTH = (5, 6)\n    def __init__(self, mass, radius): self.mass, self.radius = mass, radius\n    @property\n    def g(self): return self.mass * self.radius\n"
        "def f(p): return p.g, p.value, p is Planet.EARTH, Planet((5, 6)) is p",
        [(30, (5, 6), True, True)],
        items="[Planet.EARTH]",
    ),
    "values set by __new__": Case(
        COLOR + """
class Coordinate(bytes, Enum):
    def __new__(cls, value, label):
        obj = bytes.__new__(cls, [value])
        obj._value_ = value
        obj.label = label
        return obj
    PX = (0, 'P.X')
    PY = (1, 'P.Y')
def f(c): return c is Coordinate.PY, c.label, bytes(c), c.value, Coordinate(0) is Coordinate.PX
""",
        [(True, "P.Y", b"\x01", 1, True)],
        items="[Coordinate.PY]",
    ),
    "values set by __init__": Case(
        COLOR + "class C(Enum):\n    A = (1, 'a')\n    def __init__(self, n, label):\n        self._value_ = n\n        self.label = label\ndef f(c): return c is C.A, c.value, c.label", [(True, 1, "a")], items="[C.A]"
    ),
    "Flag": Case(
        COLOR + "class P(Flag):\n    R = auto()\n    W = auto()\n    RW = R | W\ndef f(p): return p is P.R, P.R | P.W is P.RW, P.R in P.RW, (P.RW & ~P.R) is P.W, P.RW.value, bool(P(0))",
        [(True, True, True, True, 3, False)],
        items="[P.R]",
        ship="lambda p: (p is P.R, (P.R | P.W) is P.RW, *f(p)[2:])",
    ),
    "IntFlag with a boundary": Case(
        COLOR + "from enum import KEEP\nclass P(IntFlag, boundary=KEEP):\n    R = 4\n    W = 2\ndef f(p): return P(8 | 4).value, P._boundary_ is KEEP, p | P.W == 6",
        [(12, True)],
        items="[P.R]",
        ship="lambda p: f(p)[:2]",
        since=(3, 11),
    ),
    "an Enum that inherits": Case(
        COLOR + "K = 1\nclass Base(Enum):\n    def plus(self): return self.value + K\nclass C(Base):\n    A = 1\ndef f(c):\n    D = Base('D', 'X Y')\n    return c.plus(), isinstance(c, Base), D.Y.plus()",
        [(2, True, 3)],
        items="[C.A]",
    ),
    "an Enum with an attribute of its own kind": Case(
        COLOR + "class C(Enum):\n    A = 1\n    B = 2\nC.best = C.B\nC.A.other = C.B\ndef f(c): return C.best is C.B, c.other is C.B", [(True, True)], items="[C.A]"
    ),
    "the functional way": Case(COLOR + "C = Enum('C', 'A B')\ndef f(c): return c is C.A, C(2) is C.B", [(True, True)], items="[C.A]"),
    "members that are no hashables": Case(COLOR + "class C(Enum):\n    A = [1]\n    B = {}\ndef f(c): return C([1]) is C.A, c.value", [(True, {})], items="[C.B]"),
    "an Enum inside a class": Case(
        COLOR + "class Car:\n    class Kind(Enum):\n        A = 1\n    kind = Kind.A\ndef f(k): return k is Car.Kind.A, Car().kind is k", [(True, True)], items="[Car.Kind.A]"
    ),
}

SHAPES = {**FUNCTIONS, **DATA, **CLASSES, **{f"Enum: {name}": case for name, case in ENUMS.items()}}


@pytest.mark.parametrize("case", numbered(SHAPES))
def test_it_means_the_same_in_the_worker(run_script, case):
    assert run_script(case.script) == f"{case.gives!r}\n"


@pytest.mark.parametrize(
    "name", ["a global of a global of a global", "one list that two functions share", "isinstance in both directions", "items of a class that no function mentions", "a generic class", "Enum: members"]
)
def test_a_worker_can_ship_it_on_to_a_worker_of_its_own(run_script, name):
    case = SHAPES[name]

    printed = run_script(case.script.replace(f", {case.items})", f", {case.items}, hops=3)"))

    assert printed == f"{case.gives!r}\n"
