"""Functions of a real `__main__`, called in a real worker: a fork of an interpreter that never saw the script.

Every shape is a script run as `python script.py`. It ships an object and plainly pickled items to the worker, calls the
object itself too, and both must give what is written: the values, and that `is` and `isinstance` mean the same.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import pickle
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from textwrap import dedent

import pytest

from olympipe_like._transport.callables import ShippingError

ROOT = Path(__file__).resolve().parents[2]

# A module in the script's process, so that the script's `__main__` holds nothing but the shape.
CALLER = """
import asyncio, inspect, os, pickle, socket, sys
from olympipe_like._transport.callables import pack, pack_main_classes

def call(function, item):
    result = function(item)
    if inspect.isawaitable(result):
        async def wait():
            return await result
        return asyncio.run(wait())
    return list(result) if inspect.isgenerator(result) else result

def ask(shipments, items, hops=1, classes=None):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(40)
    connection.connect(os.environ["WORKERS"])
    with connection, connection.makefile("rwb") as file:
        pickle.dump((sys.path, shipments, pack_main_classes() if classes is None else classes, items, hops), file)
        file.flush()
        failure, answer = pickle.load(file)
    if failure:
        sys.exit("in the worker: " + failure)
    return pickle.loads(answer)

def run(obj, items, hops=1):
    [there] = ask([pack(obj)], pickle.dumps(items), hops)
    here = [call(obj, item) for item in items]
    assert there == here, f"worker: {there!r}, caller: {here!r}"
    print(there)
"""

# Stands in for the hub process: forks a worker for each connection.
WORKERS = """
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
            sys.path[:], shipments, classes, items, hops = pickle.load(file)
            callables.install_main()
            functions = [callables.unpack(shipment, classes) for shipment in shipments]
            if hops > 1:
                answers = caller.ask([callables.pack(function) for function in functions], items, hops - 1)
            else:
                items = pickle.loads(items)
                answers = [[caller.call(function, item) for item in items] for function in functions]
            pickle.dump((None, pickle.dumps(answers)), file)
        except BaseException:
            pickle.dump((traceback.format_exc(), None), file)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def workers():
    """Give the environment in which scripts find the module `caller` and the workers."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # the path of a socket must be short
        yield from serve(Path(folder))


def serve(folder: Path):
    (folder / "caller.py").write_text(CALLER)
    (folder / "workers.py").write_text(WORKERS)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)]),
        "PYTHONWARNINGS": "error",
        "WORKERS": str(folder / "socket"),
    }
    with subprocess.Popen(
        [sys.executable, str(folder / "workers.py")], env=environment, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            yield environment
        finally:
            process.kill()


@pytest.fixture
def run_script(workers, tmp_path):
    """Give a function that runs a script and returns what it printed."""

    def run_script(source: str, *arguments: str) -> str:
        (tmp_path / "script.py").write_text(dedent(source))
        done = subprocess.run(
            [sys.executable, *(arguments or ["script.py"])],
            env=workers,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run_script


@dataclasses.dataclass(frozen=True)
class Shape:
    """A script, an expression for what it ships, one for the items, and what comes out as text."""

    source: str
    ships: str
    items: str
    gives: str

    def script(self, hops: int = 1) -> str:
        return f"{self.source}\nimport caller\ncaller.run({self.ships}, {self.items}, {hops})\n"


def parse(text: str) -> dict[str, Shape]:
    """Read shapes: ``## name [needs]``, the script, ``#> object of items gives results``."""
    block = re.compile(r"^## (.+)\n((?:.*\n)*?)#> (.+) of (\[.*?\]) gives (.+)\n", re.MULTILINE)
    shapes = {name: Shape(*rest) for name, *rest in block.findall(text)}
    assert len(shapes) == text.count("## ") == text.count("#> "), "not all shapes were read"
    return shapes


def unless_missing(name: str, shape: Shape):
    """Return a shape as a parameter, skipped where the Python or the package it names is not there."""
    needs = re.findall(r"\[(.+?)\]", name)
    missing = [
        need
        for need in needs
        if (
            sys.version_info < tuple(map(int, need.split(".")))
            if need[0].isdigit()
            else importlib.util.find_spec(need) is None
        )
    ]
    return pytest.param(shape, id=name, marks=pytest.mark.skipif(bool(missing), reason=f"needs {missing}"))


FUNCTIONS = r"""
## a plain function
def f(x): return x + 1
#> f of [1, 2] gives [2, 3]

## a lambda
f = lambda x: x * 10
#> f of [1, 2] gives [10, 20]

## a nameless lambda
K = 3
#> lambda x: x + K of [1, 2] gives [4, 5]

## a global
K = 5
def f(x): return x + K
#> f of [1, 2] gives [6, 7]

## a global of a global of a global
K = 7
def third(x): return x + K
def second(x): return third(x)
def first(x): return second(x)
f = lambda x: first(x)
#> f of [1, 2] gives [8, 9]

## an imported module
import os.path as p, re
def f(x): return p.join('a', re.sub('1', 'one', str(x)))
#> f of [1, 2] gives ['a/one', 'a/2']

## an imported function
from math import floor
from json import dumps
def f(x): return floor(x), dumps([x])
#> f of [1, 2] gives [(1, '[1]'), (2, '[2]')]

## a function of a module
import math
#> math.sqrt of [1, 4] gives [1.0, 2.0]

## a lambda of a module
import caller
exec("secret = 4\nmade = lambda x: x + secret", vars(caller))
f = caller.made
exec("secret = 5", vars(caller))
#> lambda x: f.__globals__ is vars(caller) of [1, 2] gives [True, True]

## a global generator function
def f(x):
    yield from range(x)
#> f of [1, 2] gives [[0], [0, 1]]

## an async function
import asyncio
async def f(x):
    await asyncio.sleep(0)
    return x
#> f of [1, 2] gives [1, 2]

## recursion
def f(n): return 1 if n < 2 else n * f(n - 1)
#> f of [5] gives [120]

## recursion in a closure
def make(k):
    def g(n): return k if n == 0 else g(n - 1) + 1
    return g
#> make(10) of [3] gives [13]

## mutual recursion
def even(n): return True if n == 0 else odd(n - 1)
def odd(n): return False if n == 0 else even(n - 1)
#> even of [10, 7] gives [True, False]

## mutual recursion of closures
def make():
    def even(n): return True if n == 0 else odd(n - 1)
    def odd(n): return False if n == 0 else even(n - 1)
    return odd
#> make() of [10, 7] gives [False, True]

## a closure
def make(k):
    return lambda x: x + k
#> make(10) of [1, 2] gives [11, 12]

## a closure over a cell that changes
def make():
    n = 0
    def count(x):
        nonlocal n
        n += x
        return n
    return count
#> make() of [1, 2] gives [1, 3]

## two closures over one cell
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
#> partial(both, make()) of [1, 2] gives [1, 3]

## two global closures over one cell
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
#> f of [1, 2] gives [1, 3]

## a closure over an empty cell
def make():
    def g(x): return late if x > 1 else x
    if False: late = 1
    return g
#> make() of [1] gives [1]

## default arguments
def f(x, k=3, *, j=4): return x + k + j
#> f of [1, 2] gives [8, 9]

## a default argument that changes
def f(x, seen=[]):
    seen.append(x)
    return list(seen)
#> f of [1, 2] gives [[1], [1, 2]]

## annotations
class Point: pass
def f(x: "Point", y: Point = None) -> Point:
    return f.__annotations__["y"] is Point, f.__annotations__["x"]
#> f of [1] gives [(True, 'Point')]

## attributes of a function
def f(x): return x + f.k
f.k = 2
#> f of [1, 2] gives [3, 4]

## docstring, name and qualified name
def make():
    def g(x):
        "Say who you are."
        return g.__doc__, g.__name__, g.__qualname__, g.__module__
    return g
#> make() of [1] gives [('Say who you are.', 'g', 'make.<locals>.g', '__main__')]

## dunder file and name
import os
def f(x): return os.path.basename(__file__), __name__
#> f of [1] gives [('script.py', '__main__')]

## a global that a function sets
total = 0
def f(x):
    global total
    total += x
    return total
#> f of [1, 2] gives [1, 3]

## a global used only by a nested function
K = 2
def f(x):
    def g(y):
        return [K * z for z in (y,)]
    return g(x)
#> f of [1, 2] gives [[2], [4]]

## a global used in a class body inside a function
K = 2
def f(x):
    class C:
        k = K
    return C.k + x
#> f of [1, 2] gives [3, 4]

## a comprehension, f-string and walrus
K = 2
def f(x): return [f'{y}{K}' for y in range(x) if (z := y + K)]
#> f of [1, 2] gives [['02'], ['02', '12']]

## an attribute called like a global that cannot travel
import threading
real = threading.Lock()
def f(x): return complex(x).real
#> f of [1, 2] gives [1.0, 2.0]

## a name called like a builtin
def len(x): return 'mine'
def f(x): return len(x)
#> f of [[]] gives ['mine']

## functools.wraps
import functools
def twice(g):
    @functools.wraps(g)
    def call(x): return g(g(x))
    return call
@twice
def f(x): return x + K
K = 1
#> f of [1, 2] gives [3, 4]

## functools.wraps around a function of a module
import functools, math
K = 1
@functools.wraps(math.ceil)
def f(x): return math.ceil(x) + K
def run(x): return f(x), f.__globals__ is globals()
#> run of [1] gives [(2, True)]

## lru_cache
import functools
@functools.lru_cache(maxsize=9, typed=True)
def f(n): return n if n < 2 else f(n-1) + f(n-2)
#> f of [10] gives [55]

## lru_cache keeps its parameters
import functools
@functools.lru_cache(maxsize=9, typed=True)
def g(n): return n
def f(x): return g.cache_parameters(), g(x)
#> f of [1] gives [({'maxsize': 9, 'typed': True}, 1)]

## lru_cache of a closure that calls itself
import functools
def make():
    @functools.cache
    def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
    return fib
#> make() of [10] gives [55]

## singledispatch
import functools
@functools.singledispatch
def f(x): return "other"
@f.register
def _(x: int): return "int"
@f.register(str)
def g(x): return "str"
#> f of [1, 'a', 2.0] gives ['int', 'str', 'other']

## a context manager function
import contextlib
@contextlib.contextmanager
def manage(x):
    yield x + 1
def f(x):
    with manage(x) as y: return y
#> f of [1, 2] gives [2, 3]

## a partial
from functools import partial
def g(k, x): return x + k
#> partial(g, 10) of [1, 2] gives [11, 12]

## a partial of a partial with keywords
from functools import partial
def g(x, *, a, b): return x + a + b
#> partial(partial(g, a=2), b=3) of [1, 2] gives [6, 7]

## an exec'd function whose name is __main__
space = {"__name__": "__main__"}
exec("K = 3\ndef h(x): return x + K\ndef g(x): return h(x)", space)
#> space['g'] of [1, 2] gives [4, 5]

## an exec'd function with a nameless space
space = {}
exec('K = 3\ndef g(n): return K if n == 0 else g(n - 1)', space)
f = space['g']
#> f of [1, 2] gives [3, 3]

## two exec'd functions share their space
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
#> f of [1, 2] gives [1, 3]

## an exec'd function in main
K = 3
exec('def f(x): return x + K')
#> f of [1, 2] gives [4, 5]

## main itself
import sys
K = 4
main = sys.modules['__main__']
def f(x): return main.K + x, vars(main) is globals()
#> lambda x: (main.K + x + (K - K), vars(main) is globals()) of [1] gives [(5, True)]

## globals as a value
from functools import partial
K = 3
def g(space, x): return space is globals() and space['K'] is K
#> partial(g, globals()) of [1] gives [True]

## standard output
import sys
def f(x, to=sys.stderr): return to is sys.stderr
#> f of [1] gives [True]

## an alias
def g(x): return x
h = g
def f(x): return h is g, h(x)
#> f of [1] gives [(True, 1)]

## a function called by another name only
def g(x): return x
h = g
del g
def f(x): return h(x)
#> f of [1, 2] gives [1, 2]

## an unused global that cannot travel
import threading
lock = threading.Lock()
def f(x): return x
#> f of [1] gives [1]

## everything of a module
from math import *
def f(x): return floor(x), pi > 3
#> f of [1] gives [(1, True)]

## a function of a class body
class C:
    def double(x): return x * 2
    table = {1: double}
    part = table[1]
def f(x): return C.table[1](x), C.part is C.double, C.table[1] is C.double
#> f of [1] gives [(2, True, True)]

## an async generator in an async function
import asyncio
async def numbers(n):
    for i in range(n): yield i
async def f(x): return [i async for i in numbers(x)]
#> f of [2] gives [[0, 1]]

## no globals at all
#> int of [1, 2] gives [1, 2]
"""

DATA = r"""
## a list
L = [1, 2]
def f(x): return L + [x]
#> f of [1, 2] gives [[1, 2, 1], [1, 2, 2]]

## a regular expression
import re
R = re.compile('a+')
def f(x): return R.findall(x)
#> f of ['aaba'] gives [['aa', 'a']]

## one list that two functions share
L = []
def add(x): L.append(x)
def size(): return len(L)
def f(x):
    add(x)
    return size()
#> f of [1, 2] gives [1, 2]

## one list by name and as an argument
from functools import partial
L = [1]
def g(l, x): return l is L
#> partial(g, L) of [1, 2] gives [True, True]

## one list by two names
A = B = [1]
def f(x): return A is B
#> f of [1] gives [True]

## one list inside another
A = [1]
B = {'a': A}
def f(x): return B['a'] is A
#> f of [1] gives [True]

## a nameless list inside two others
A = {'a': []}
B = [A['a']]
def f(x): return B[0] is A['a']
#> f of [1] gives [True]

## a nameless list in a global and in the object
from functools import partial
A = {'a': []}
def g(l, x): return l is A['a']
#> partial(g, A['a']) of [1] gives [True]

## lists that hold each other
A = []
B = [A]
A.append(B)
def f(x): return A[0] is B and B[0] is A
#> f of [1] gives [True]

## a list that holds itself
A = []
A.append(A)
def f(x): return A[0] is A
#> f of [1] gives [True]

## a table of functions
def one(x): return x + 1
def two(x): return x + 2
T = {1: one, 2: two, 3: lambda x: T}
def f(x): return T[x](x), T[1] is one, T[3](0) is T
#> f of [1, 2] gives [(2, True, True), (4, True, True)]

## objects that share a nameless part
class Model:
    def __init__(self): self.weights = [1.0]
class Optimizer:
    def __init__(self, weights): self.weights = weights
    def step(self): self.weights[0] += 1
model = Model()
optimizer = Optimizer(model.weights)
def f(x):
    optimizer.step()
    return model.weights
#> f of [1] gives [[2.0]]

## generic aliases and unions
from typing import Optional, Union, Any, Callable
A, B, C, D = list[int], int | str, Optional[dict[str, int]], Callable[[Any], int]
def f(x): return str(A), isinstance(x, B), C == Union[dict[str, int], None], D.__args__ == (Any, int)
#> f of [1] gives [('list[int]', True, True, True)]

## a deep chain
chain = None
for n in range(400): chain = [n, chain]
def f(x):
    at, n = chain, 0
    while at: at, n = at[1], n + 1
    return n
#> f of [1] gives [400]

## a big array [numpy]
import numpy as np
A = np.arange(6_250_000, dtype=np.int64)
def f(x): return int(A[x]), A.nbytes
#> f of [1] gives [(1, 50000000)]

## numpy functions, dtypes and scalars [numpy]
import numpy as np
from numpy import add
D = np.dtype('f4')
S = np.float64(2)
def f(x): return float(add(x, S)), D.name
#> f of [1] gives [(3.0, 'float32')]

## a view into memory [cloudpickle]
def make(m):
    return lambda x: bytes(m)[x]
#> make(memoryview(b'abc')) of [1] gives [98]

## random numbers
import random
R = random.Random(3)
def f(x): return R.random()
#> f of [1] gives [0.23796462709189137]

## a logger
import logging
log = logging.getLogger('a.b')
def f(x): return log.name, log is logging.getLogger('a.b')
#> f of [1] gives [('a.b', True)]

## types of the interpreter
import types
T = [type(None), type(...), types.FunctionType, type(NotImplemented), int]
def f(x): return isinstance(f, T[2]), T[0] is type(None)
#> f of [1] gives [(True, True)]

## a sentinel that pickles by its name
class Missing:
    def __reduce__(self): return 'MISSING'
MISSING = Missing()
def f(x): return x is MISSING
#> f of [MISSING, 1] gives [True, False]

## a weak reference
import weakref
class C: pass
c = C()
r = weakref.ref(c)
def f(x): return r() is c
#> f of [1] gives [True]

## an exception
class Mine(ValueError):
    pass
def f(x):
    try:
        raise Mine(x)
    except ValueError as e:
        return type(e) is Mine, e.args
#> f of [1] gives [(True, (1,))]
"""

CLASSES = r"""
## isinstance in both directions
class Point:
    def __init__(self, x): self.x = x
    def __eq__(self, other): return type(self) is type(other) and self.x == other.x
def f(p): return isinstance(p, Point), Point(p.x + 1)
#> lambda p: f(p)[0] and type(f(p)[1]) is Point of [Point(1)] gives [True]

## items come back as the caller's class
class Point:
    def __init__(self, x): self.x = x
    def __eq__(self, other): return type(self) is type(other) and self.x == other.x
    def __repr__(self): return 'same'
def f(p): return Point(p.x + 1)
#> f of [Point(1)] gives [same]

## items of a class that no function mentions
TAX = 2
class Price:
    def __init__(self, x): self.x = x
    def total(self): return self.x + TAX
    class Inner:
        def total(self): return 'inner'
#> lambda p: p.total() of [Price(1), Price.Inner()] gives [3, 'inner']

## a class as the function
class C:
    def __init__(self, x): self.x = x
    def __eq__(self, o): return isinstance(o, C)
    def __repr__(self): return 'C'
#> C of [1] gives [C]

## a nested class
class Outer:
    class Inner:
        k = 3
def f(x): return isinstance(x, Outer.Inner), Outer.Inner.__qualname__, x.k
#> f of [Outer.Inner()] gives [(True, 'Outer.Inner', 3)]

## a nested class on its own
class Outer:
    class Inner:
        k = 3
from functools import partial
def g(kind, x): return kind is Outer.Inner
#> partial(g, Outer.Inner) of [1] gives [True]

## super in methods
class A:
    def name(self): return 'A'
class B(A):
    def name(self): return super().name() + 'B'
class C(B):
    def name(self): return super().name() + 'C' + __class__.__name__
def f(x): return C().name()
#> f of [1] gives ['ABCC']

## a class that refers to itself
class Node:
    def more(self): return Node()
    kind = None
Node.kind = Node
def f(x): return type(Node().more()) is Node and Node.kind is Node
#> f of [1] gives [True]

## classes that refer to each other
class A:
    def other(self): return B()
class B:
    friend = A
    def other(self): return A()
A.friend = B
def f(x): return A.friend is B, B.friend is A, type(A().other()) is B, type(B().other()) is A
#> f of [1] gives [(True, True, True, True)]

## a base class that knows its subclass
class Base: pass
class Sub(Base): pass
Base.best = Sub
def f(x): return issubclass(Base.best, Base), Base.best is Sub
#> f of [1] gives [(True, True)]

## a class that holds an instance of itself
class C:
    __slots__ = ('x',)
    def __init__(self): self.x = 1
C.zero = C()
ZERO = C.zero
def f(x): return C.zero is ZERO, type(ZERO) is C, ZERO.x
#> f of [1] gives [(True, True, 1)]

## properties, class methods and static methods
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
#> f of [1] gives [(3, 4, True, True)]

## slots
class C:
    __slots__ = ('x', '__y')
    def __init__(self, x):
        self.x = x
        self.__y = x
    def y(self): return self.__y
def f(x): return C(x).x, C(x).y(), hasattr(C(x), '__dict__')
#> f of [1] gives [(1, 1, False)]

## descriptors with a name
class Field:
    def __set_name__(self, owner, name): self.name = name
    def __get__(self, obj, kind): return self.name
class C:
    a = Field()
def f(x): return C().a
#> f of [1] gives ['a']

## a dataclass
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
#> f of [P(1)] gives [(['x', 'tags', 'k'], True, True, {'x': 2, 'tags': [], 'k': 8}, True, 1)]

## a frozen dataclass with slots
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
#> lambda p: (f(p)[0].y - 2, *f(p)[1:]) of [P(1)] gives [(3, True, False)]

## dataclass defaults stay missing
import dataclasses
@dataclasses.dataclass
class P:
    x: int
def f(p): return dataclasses.fields(P)[0].default is dataclasses.MISSING
#> f of [P(1)] gives [True]

## a mark of dataclasses
import dataclasses
def f(x, y=dataclasses.MISSING): return y is dataclasses.MISSING
#> f of [1] gives [True]

## a dataclass decorated and derived
from dataclasses import dataclass
@dataclass
class A:
    x: int = 1
@dataclass
class B(A):
    y: int = 2
def f(b): return b == B(1, 2), isinstance(b, A)
#> f of [B()] gives [(True, True)]

## typing.NamedTuple
from typing import NamedTuple
class P(NamedTuple):
    x: int
    y: int = 4
    def sum(self): return self.x + self.y
def f(p): return p.sum(), isinstance(p, P), tuple(P(7)), tuple(p._replace(y=1)), P._fields, P._make([1, 2]).y
#> f of [P(1)] gives [(5, True, (7, 4), (1, 1), ('x', 'y'), 2)]

## collections.namedtuple
from collections import namedtuple
P = namedtuple('P', 'x y', defaults=[4])
def f(p): return p.x + p.y, isinstance(p, P), P._field_defaults
#> f of [P(1)] gives [(5, True, {'y': 4})]

## an abstract base class
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
#> f of [Square(3)] gives [(True, 9, True, False)]

## an abstract class of the library
from collections.abc import Mapping
class M(Mapping):
    def __len__(self): return 1
    def __iter__(self): return iter('a')
    def __getitem__(self, k): return k
def f(x): return dict(M()), isinstance(M(), Mapping)
#> f of [1] gives [({'a': 'a'}, True)]

## a metaclass
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
#> f of [1] gives [(True, 'THING', 't', 0, ['Thing'])]

## a hook for subclasses with an argument
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
#> f of [1] gives [(['a', 'b', 'c'], True)]

## a generic class
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
    return b.get(), isinstance(b, Box), Box.__parameters__ == (T,), Two.__parameters__ == (T, U), \
        Alias(2).get(), Ints.__orig_bases__ == (Box[int],), T.__bound__ is int, U.__constraints__ == (int, str), \
        T.__module__, get_type_hints(Box.get)['return'] is T
#> f of [Box(1)] gives [(1, True, True, True, 2, True, True, True, '__main__', True)]

## a protocol
from typing import Protocol, runtime_checkable
@runtime_checkable
class Sized(Protocol):
    def size(self) -> int: ...
class A:
    def size(self): return 1
class B(Sized):
    def size(self): return 2
def f(x): return isinstance(A(), Sized), isinstance(1, Sized), B().size(), isinstance(B(), Sized)
#> f of [1] gives [(True, False, 2, True)]

## typing.NewType, ParamSpec and TypedDict
from typing import NewType, ParamSpec, TypedDict, Callable
P = ParamSpec('P')
Id = NewType('Id', int)
class Movie(TypedDict, total=False):
    name: str
def deco(g: Callable[P, int]) -> Callable[P, int]: return g
@deco
def f(x: Id): return Id(x), Movie(name='a'), Movie.__total__, P.__name__, Id.__supertype__ is int
#> f of [1] gives [(1, {'name': 'a'}, False, 'P', True)]

## backports of typing [typing_extensions]
from typing_extensions import Protocol, TypedDict, NamedTuple, runtime_checkable
@runtime_checkable
class Sized(Protocol):
    def size(self) -> int: ...
class Movie(TypedDict):
    name: str
class P(NamedTuple):
    x: int
    def size(self): return self.x
def f(x): return isinstance(P(1), Sized), isinstance(x, Sized), Movie(name='a'), Movie.__required_keys__ == {'name'}
#> f of [1] gives [(True, False, {'name': 'a'}, True)]

## type parameters of Python 3.12 [3.12]
type Pair[T] = tuple[T, T]
class Box[T: int]:
    def get[U](self, x: U) -> U: return x
def f[V](x: V) -> V:
    return Box[int]().get(x), Pair.__name__, Box.__type_params__[0].__name__, f.__type_params__[0].__name__
#> f of [1] gives [(1, 'Pair', 'T', 'V')]

## variadic type variables [3.11]
from typing import Generic, TypeVarTuple
Ts = TypeVarTuple('Ts')
class A(Generic[*Ts]): pass
def f(x): return A.__parameters__ == (Ts,)
#> f of [1] gives [True]

## a local class
def make(k):
    class Local:
        def __init__(self, x): self.x = x
        def get(self): return self.x + k + len(super().__dir__()) * 0
    class Sub(Local):
        def get(self): return super().get() + 1
    return lambda x: (Sub(x).get(), isinstance(Sub(x), Local), Sub.__mro__[1] is Local)
#> make(10) of [1] gives [(12, True, True)]

## a local class that closures share
def make():
    class Local: pass
    return (lambda: Local()), (lambda x: isinstance(x, Local))
new, check = make()
def f(x): return check(new())
#> f of [1] gives [True]

## a bound method
class C:
    k = 3
    def add(self, x): return x + self.k
#> C().add of [1, 2] gives [4, 5]

## a bound method of a global
class C:
    def __init__(self): self.n = 0
    def add(self, x):
        self.n += x
        return self.n == c.n
c = C()
#> c.add of [1, 2] gives [True, True]

## methods made by functools
import functools
@functools.total_ordering
class C:
    def __init__(self, x): self.x = x
    def __eq__(self, other): return self.x == other.x
    def __lt__(self, other): return self.x < other.x
    def add(self, a, b): return self.x + a + b
    add_two = functools.partialmethod(add, 2)
    @functools.singledispatchmethod
    def kind(self, x): return 'other'
    @kind.register
    def _(self, x: int): return 'int'
def f(x): return C(x) >= C(0), C(x).add_two(3), C(x).kind(x), C(x).kind('')
#> f of [1] gives [(True, 6, 'int', 'other')]

## a class with __getattr__ and __class_getitem__
class C:
    def __getattr__(self, name):
        if name.startswith('__'): raise AttributeError(name)
        return name
    def __class_getitem__(cls, key): return key, cls is C
def f(x): return C().hello, C[x]
#> f of [1] gives [('hello', (1, True))]

## a bound class method
class C:
    k = 3
    @classmethod
    def add(cls, x): return x + cls.k, cls is C
#> C.add of [1] gives [(4, True)]

## a method of the parent
class A:
    def get(self, x): return 'A'
class B(A):
    def get(self, x): return 'B'
    def up(self): return super().get
#> B().up() of [1] gives ['A']

## a method as a function
class C:
    def get(self): return 5
#> C.get of [C()] gives [5]

## a static method itself
from functools import partial
class C:
    @staticmethod
    def get(x): return x
def g(method, x): return method is C.get
#> partial(g, C.get) of [1] gives [True]

## a subclass that shares something nameless with its base
class A:
    kept = []
class B(A):
    also = A.kept
#> lambda x: isinstance(x, A) of [A(), B()] gives [True, True]

## a static method as a function
class C:
    @staticmethod
    def get(x): return x, __class__.__name__ if 0 else C.get(2) if x == 1 else 0
#> C.get of [1] gives [(1, (2, 0))]

## a callable object
class C:
    def __init__(self, k): self.k = k
    def __call__(self, x): return x + self.k
#> C(3) of [1, 2] gives [4, 5]

## an object that holds functions
K = 2
class C:
    def __init__(self, *g): self.g = g
    def __call__(self, x): return [g(x) for g in self.g]
def g(x): return x + K
#> C(g, lambda x: x * 10) of [1] gives [[3, 10]]

## a class as decorator
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
#> f of [1, 2] gives [(1, 1), (2, 2)]

## a class with state
class C:
    n = 0
    @classmethod
    def up(cls):
        cls.n += 1
        return cls.n
C.up()
def f(x): return C.up()
#> f of [1, 2] gives [2, 3]

## objects that hold each other
class N:
    def __hash__(self): return 1
a, b = N(), N()
a.b, b.a = b, a
def f(x): return a.b is b, b.a is a
#> f of [1] gives [(True, True)]

## an object with its own way to pickle
import threading
class C:
    def __init__(self): self.lock, self.x = threading.Lock(), 1
    def __getstate__(self): return {'x': self.x}
    def __setstate__(self, s): self.__init__()
c = C()
def f(x):
    with c.lock: return c.x
#> f of [1] gives [1]

## a class made by a library
import types
C = types.new_class('C', (dict,), {}, lambda s: s.update(k=1))
def f(x): return C(a=x)['a'], isinstance(C(), dict), C.k
#> f of [1] gives [(1, True, 1)]

## classes that __dict__ and __weakref__ are for
import weakref
class C: pass
def f(x):
    c = C()
    c.x = 1
    return weakref.ref(c)() is c, C.__dict__['__dict__'].__objclass__ is C
#> f of [1] gives [(True, True)]
"""

ENUMS = r"""
## Enum: members
from enum import Enum
class Color(Enum):
    RED = 1
    BLUE = 2
def f(c):
    known = Color(2) is Color.BLUE, Color['RED'] is Color.RED, list(Color) == [Color.RED, Color.BLUE]
    return c is Color.RED, *known, c.name
#> f of [Color.RED, Color.BLUE] gives [(True, True, True, True, 'RED'), (False, True, True, True, 'BLUE')]

## Enum: members come back
from enum import Enum
class Color(Enum):
    RED = 1
    BLUE = 2
    def __repr__(self): return self.name.lower()
def f(c): return Color.BLUE
#> f of [Color.RED] gives [blue]

## Enum: members named by the function alone
from enum import Enum
class Color(Enum):
    RED = 1
RED = Color.RED
def f(c): return RED is c
#> f of [Color.RED] gives [True]

## Enum: a member as an argument
from enum import Enum
class Color(Enum):
    RED = 1
def f(c, d=Color.RED): return c is d
#> f of [Color.RED] gives [True]

## Enum: aliases
from enum import Enum
class Color(Enum):
    RED = 1
    CRIMSON = 1
def f(c): return Color.CRIMSON is Color.RED, list(Color.__members__), len(Color)
#> f of [1] gives [(True, ['RED', 'CRIMSON'], 1)]

## Enum: automatic values
from enum import Enum, auto
class Color(Enum):
    def _generate_next_value_(name, *rest): return name.lower()
    RED = auto()
    BLUE = auto()
def f(c): return Color.RED.value, Color('blue') is Color.BLUE
#> f of [1] gives [('red', True)]

## Enum: methods
from enum import Enum
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
#> f of [Color.RED] gives [(True, True, 'RED!', True, 'str RED')]

## Enum: IntEnum
from enum import IntEnum
class N(IntEnum):
    A = 1
    B = 2
def f(n): return n + 1 == N.B, N.B > n, isinstance(n, int), N(1) is N.A, {N.A: 5}[1]
#> f of [N.A] gives [(True, True, True, True, 5)]

## Enum: a mixed-in str
from enum import Enum, auto
class S(str, Enum):
    A = 'a'
    B = auto
    def up(self): return self.upper()
def f(s): return s.up(), s == 'a', isinstance(s, S), S('a') is s
#> f of [S.A] gives [('A', True, True, True)]

## Enum: StrEnum [3.11]
from enum import StrEnum, auto
class S(StrEnum):
    A = auto()
def f(s): return s is S.A, str(s), s == 'a'
#> f of [S.A] gives [(True, 'a', True)]

## Enum: a mixed-in date
from enum import Enum
from datetime import date
class D(date, Enum):
    X = 2020, 1, 2
def f(d): return d is D.X, d.year, isinstance(d, date)
#> lambda x: f(D.X) of [1] gives [(True, 2020, True)]

## Enum: tuples taken apart by __init__
from enum import Enum
class Planet(Enum):
    EARTH = (5, 6)
    def __init__(self, mass, radius): self.mass, self.radius = mass, radius
    @property
    def g(self): return self.mass * self.radius
def f(p): return p.g, p.value, p is Planet.EARTH, Planet((5, 6)) is p
#> f of [Planet.EARTH] gives [(30, (5, 6), True, True)]

## Enum: values set by __new__
from enum import Enum
class Coordinate(bytes, Enum):
    def __new__(cls, value, label):
        obj = bytes.__new__(cls, [value])
        obj._value_ = value
        obj.label = label
        return obj
    PX = (0, 'P.X')
    PY = (1, 'P.Y')
def f(c): return c is Coordinate.PY, c.label, bytes(c), c.value, Coordinate(0) is Coordinate.PX
#> f of [Coordinate.PY] gives [(True, 'P.Y', b'\x01', 1, True)]

## Enum: values set by __init__
from enum import Enum
class C(Enum):
    A = (1, 'a')
    def __init__(self, n, label):
        self._value_ = n
        self.label = label
def f(c): return c is C.A, c.value, c.label
#> f of [C.A] gives [(True, 1, 'a')]

## Enum: Flag
from enum import Flag, auto
class P(Flag):
    R = auto()
    W = auto()
    RW = R | W
def f(p): return p is P.R, P.R | P.W is P.RW, P.R in P.RW, (P.RW & ~P.R) is P.W, P.RW.value, bool(P(0))
#> lambda p: (p is P.R, (P.R | P.W) is P.RW, *f(p)[2:]) of [P.R] gives [(True, True, True, True, 3, False)]

## Enum: a Flag with a boundary [3.11]
from enum import KEEP, Flag
class P(Flag, boundary=KEEP):
    R = 1
    W = 6
def f(p): return P(8 | 1).value, P._boundary_ is KEEP, (p | P.W).value
#> f of [P.R] gives [(9, True, 7)]

## Enum: functions as members [3.11]
from enum import Enum, member
class Op(Enum):
    DOUBLE = member(lambda x: x * 2)
    def __call__(self, x): return self.value(x)
def f(x): return Op.DOUBLE(x), len(Op)
#> f of [4] gives [(8, 1)]

## Enum: an Enum that inherits
from enum import Enum
K = 1
class Base(Enum):
    def plus(self): return self.value + K
class C(Base):
    A = 1
def f(c):
    D = Base('D', 'X Y')
    return c.plus(), isinstance(c, Base), D.Y.plus()
#> f of [C.A] gives [(2, True, 3)]

## Enum: an Enum with an attribute of its own kind
from enum import Enum
class C(Enum):
    A = 1
    B = 2
C.best = C.B
C.A.other = C.B
def f(c): return C.best is C.B, c.other is C.B
#> f of [C.A] gives [(True, True)]

## Enum: the functional way
from enum import Enum
C = Enum('C', 'A B')
def f(c): return c is C.A, C(2) is C.B
#> f of [C.A] gives [(True, True)]

## Enum: members that are no hashables
from enum import Enum
class C(Enum):
    A = [1]
    B = {}
def f(c): return C([1]) is C.A, c.value
#> f of [C.B] gives [(True, {})]

## Enum: an Enum inside a class
from enum import Enum
class Car:
    class Kind(Enum):
        A = 1
    kind = Kind.A
def f(k): return k is Car.Kind.A, Car().kind is k
#> f of [Car.Kind.A] gives [(True, True)]
"""

SHAPES = parse(FUNCTIONS) | parse(DATA) | parse(CLASSES) | parse(ENUMS)


@pytest.mark.parametrize("shape", [unless_missing(name, shape) for name, shape in SHAPES.items()])
def test_it_means_the_same_in_the_worker(run_script, shape):
    assert run_script(shape.script()) == f"{shape.gives}\n"


@pytest.mark.parametrize(
    "name",
    [
        "a global of a global of a global",
        "two global closures over one cell",
        "one list that two functions share",
        "isinstance in both directions",
        "items of a class that no function mentions",
        "a generic class",
        "Enum: members",
    ],
)
def test_a_worker_can_ship_it_on_to_a_worker_of_its_own(run_script, name):
    assert run_script(SHAPES[name].script(hops=3)) == f"{SHAPES[name].gives}\n"


def test_only_the_names_that_are_needed_travel(run_script):
    printed = run_script(
        """
        import math, os
        A, B, C, D = [1], [2], [3], [4]
        class Point:
            def far(self): return C
        def second(x): return math.floor(x), B
        def f(x: Point, a=A): return second(x), os.name, __name__
        from olympipe_like._transport.callables import pack
        print(sorted(pack(f).names))
        """
    )

    # "pack" is not among them, nor is D; math and os go as names that import.
    assert printed == "['A', 'B', 'C', 'Point', 'f', 'math', 'os', 'second']\n"


@pytest.mark.skipif(importlib.util.find_spec("numpy") is None, reason="needs numpy")
def test_a_large_global_is_shipped_once_for_all_functions(run_script):
    printed = run_script(
        """
        import pickle, numpy as np
        A = np.zeros(50_000_000, np.uint8)
        def f(x): return A
        def g(x): return A, f
        from olympipe_like._transport.callables import pack
        print(len(pickle.dumps(pack([f, g, lambda x: A]))) // 1_000_000)
        """
    )

    assert printed == "50\n"


def test_names_that_hold_each_other_have_one_definition(run_script):
    printed = run_script(
        """
        import http, math
        class Point: pass
        always_the_same = [math, http.HTTPStatus.OK, Point, print]
        A, C, D = [], [*always_the_same], [*always_the_same]
        B = [A, C]
        A.append(B)
        def f(x): return A, D
        from olympipe_like._transport.callables import pack
        names = pack(f).names
        print({(a, b) for a in sorted(names) for b in names if a < b and names[a] is names[b]})
        """
    )

    # What two names hold by reference does not tie them together.
    assert printed == "{('A', 'B')}\n"


def test_shipments_to_one_worker_share_their_names(run_script):
    printed = run_script(
        """
        import caller, pickle
        from olympipe_like._transport.callables import pack
        class Point: pass
        seen = []
        def f(x):
            seen.append(Point())
            return len(seen)
        def g(x): return len(seen), isinstance(seen[0], Point), f.__globals__ is globals(), g is h.__defaults__[0]
        def h(x, other=g): return Point
        print(caller.ask([pack(f), pack(g), pack(lambda x: h(x) is Point)], pickle.dumps([1, 2])))
        """
    )

    assert printed == "[[1, 2], [(2, True, True, True), (2, True, True, True)], [True, True]]\n"


def test_a_name_that_is_defined_already_stays_as_it_is(run_script):
    printed = run_script(
        """
        import caller, pickle
        from olympipe_like._transport.callables import pack
        limit = 1
        first = pack(lambda x: limit)
        limit = 2
        print(caller.ask([first, pack(lambda x: limit)], pickle.dumps([0])))
        """
    )

    assert printed == "[[1], [1]]\n"


def test_a_name_that_is_defined_already_stays_though_others_bring_it_along(run_script):
    printed = run_script(
        """
        import caller, pickle
        from olympipe_like._transport.callables import pack
        A = {"part": []}
        B = [A["part"]]
        def put(x, to=A): to.update(n=x)
        def get(x): return A["n"], len(B)
        print(caller.ask([pack(put), pack(get)], pickle.dumps([5])))
        """
    )

    assert printed == "[[None], [(5, 1)]]\n"


def test_a_class_with_a_second_name_is_also_known_by_its_own(run_script):
    printed = run_script(
        """
        class Point_: pass
        Point = Point_
        Point_ = globals().pop("Point_")  # the second name comes first
        def f(x): return Point()
        import caller, pickle
        from olympipe_like._transport.callables import pack
        (answer,), = caller.ask([pack(f)], pickle.dumps([1]), classes={})
        print(type(answer) is Point)
        """
    )

    assert printed == "True\n"


def test_a_main_that_multiprocessing_spawned_is_as_good(run_script):
    printed = run_script(
        """
        import multiprocessing
        class Point: pass
        def f(x): return isinstance(x, Point), type(x).__module__
        def ship():
            import caller
            caller.run(f, [Point()])
        if __name__ == "__main__":
            process = multiprocessing.get_context("spawn").Process(target=ship)
            process.start()
            process.join()
        """
    )

    assert printed == "[(True, '__mp_main__')]\n"


def test_a_workers_main_holds_what_was_shipped_and_no_more(run_script):
    printed = run_script(
        """
        import caller
        K = 1
        class NeverAskedFor: pass
        def f(x): return sorted(name for name in globals() if K)
        from caller import ask
        import pickle
        from olympipe_like._transport.callables import pack
        print(ask([pack(f)], pickle.dumps([1])))
        """
    )

    assert printed == "[[['K', '__builtins__', '__loader__', '__name__', '__spec__', 'f']]]\n"


def test_classes_are_packed_with_what_their_methods_use(run_script):
    printed = run_script(
        """
        import threading
        from fractions import Fraction
        lock, TAX, other = threading.Lock(), [1], 2
        class Price:
            def total(self): return tax()
            def locked(self): return lock
        def tax(): return TAX
        class Broken:
            kept = lock
        class Sub(Broken): pass
        from olympipe_like._transport.callables import pack_main_classes
        print(sorted(pack_main_classes()))
        """
    )

    # Price loses its lock: an item may well never need it. Broken cannot be made at all, nor can Sub.
    assert printed == "['Price', 'TAX', 'tax']\n"


def test_an_item_can_be_of_a_class_whose_methods_use_a_lock(run_script):
    printed = run_script(
        """
        import threading
        lock = threading.Lock()
        class Price:
            def total(self): return 3
            def locked(self): return lock
        import caller
        caller.run(lambda p: p.total(), [Price()])
        """
    )

    assert printed == "[3]\n"


def test_what_comes_back_to_the_caller_finds_the_callers_own_names(run_script):
    printed = run_script(
        """
        K = [1]
        class Point: pass
        def f(x): return K
        from olympipe_like._transport.callables import pack, unpack
        before = dict(globals())
        back, point = unpack(pack(lambda: (f, K, Point, globals()))), unpack(pack(Point()))
        same = [now is then for now, then in zip(back(), (f, K, Point, globals()))]
        print(same, type(point) is Point, sorted(globals().keys() - before.keys()))
        """
    )

    assert printed == "[True, True, True, True] True ['back', 'before', 'point', 'same']\n"


def test_a_module_of_the_users_own_travels_by_name(run_script, tmp_path):
    (tmp_path / "own.py").write_text("K = 1\nclass Point: pass\ndef make(k):\n    return lambda x: x + k + K\n")

    printed = run_script(
        """
        import own
        from own import Point
        own.K = 10
        add = own.make(100)
        def f(x): return add(x), own.K, Point is own.Point, add.__globals__ is vars(own)
        import caller, pickle
        from olympipe_like._transport.callables import pack
        print(caller.ask([pack(f)], pickle.dumps([1])))
        """
    )

    # The module as the worker imports it, not as the caller changed it.
    assert printed == "[[(102, 1, True, True)]]\n"


def test_relative_imports_work_in_functions_of_a_package_run_by_name(run_script, tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "beside.py").write_text("K = 5")
    (tmp_path / "package" / "__main__.py").write_text(
        "def f(x):\n    from .beside import K\n    return x + K\nimport caller\ncaller.run(f, [1, 2])\n"
    )

    assert run_script("", "-m", "package") == "[6, 7]\n"


def test_packing_runs_no_code_of_the_user(run_script):
    printed = run_script(
        """
        from olympipe_like._transport.callables import pack, pack_main_classes
        calls = []
        def note(*args, **kwargs): calls.append(args)
        class Proxy:
            __class__ = __dict__ = __module__ = property(note)
            def __getattr__(self, name): note(name)
            def __eq__(self, other): note(other)
            __hash__ = __len__ = __bool__ = __call__ = __iter__ = note
        class Meta(type):
            __getattr__ = __call__ = __iter__ = __instancecheck__ = __subclasscheck__ = note
            def __eq__(cls, other): note(cls)
            def __hash__(cls): return 1
        class Watched(metaclass=Meta):
            def __init_subclass__(cls): note(cls)
            @property
            def x(self): note(self)
        proxy = Proxy()
        def f(x, *, kind=Watched): return kind
        calls.clear()
        pack(f), pack_main_classes()
        print(calls)
        """
    )

    assert printed == "[]\n"


def test_packing_changes_neither_main_nor_the_settings_of_dill(run_script):
    printed = run_script(
        """
        import dill, pickle
        from olympipe_like._transport.callables import pack
        dill.settings.update(byref=True, recurse=True)
        class Point:
            @property
            def x(self): return K
        K, settings, reducers, before, after = 1, dict(dill.settings), dict(pickle._Pickler.dispatch), None, None
        before = dict(globals())
        pack(lambda: Point().x)
        after = dict(globals())
        changed = [name for name in after if after[name] is not before.get(name, after)]
        print(sorted(changed), settings == dill.settings, reducers == pickle._Pickler.dispatch)
        """
    )

    assert printed == "['before'] True True\n"


def test_dill_is_loaded_only_when_plain_pickle_is_not_enough(run_script):
    printed = run_script(
        """
        import sys
        from olympipe_like._transport.callables import pack
        class Plain:
            def __init__(self, x): self.x = x
        class WithProperty:
            @property
            def x(self): return 1
        def make(k): return lambda x: Plain(x + k)
        pack(make(3))
        print("dill" in sys.modules)
        pack(WithProperty)
        print("dill" in sys.modules, "cloudpickle" in sys.modules)
        """
    )

    assert printed == "False\nTrue False\n"


ERRORS = r"""
## a lock in a closure
def make(lk): return lambda x: lk
#> make(Lock()) of [1] gives cannot pickle '_thread.lock' object (captured variable 'lk')

## a lock in the closure of a function that is used
def make(lk): return lambda x: lk
g = make(Lock())
def f(x): return g(x)
#> f of [1] gives cannot pickle '_thread.lock' object (captured variable 'lk')

## a lock as a global
LOCK = Lock()
def f(x): return LOCK
#> f of [1] gives cannot pickle '_thread.lock' object (global 'LOCK')

## a reentrant lock as a global of a global
LOCK = RLock()
def g(x): return LOCK
#> lambda x: g(x) of [1] gives cannot pickle '_thread.RLock' object (global 'LOCK')

## a lock as a global of an exec'd function
space = {}
exec('from threading import Lock; lock = Lock()\ndef f(x): return lock', space)
#> space['f'] of [1] gives cannot pickle '_thread.lock' object (global 'lock')

## a lock in a callable object
class C:
    def __init__(self): self.lock = Lock()
    def __call__(self, x): return x
#> C() of [1] gives cannot pickle '_thread.lock' object (attribute 'lock')

## a lock in a slot
class C:
    __slots__ = ('lock',)
    def __init__(self): self.lock = Lock()
#> C() of [1] gives cannot pickle '_thread.lock' object (attribute 'lock')

## a lock in the object of a bound method
class C:
    def __init__(self): self.lock = Lock()
    def run(self, x): return x
#> C().run of [1] gives cannot pickle '_thread.lock' object (attribute 'lock')

## a lock in a captured object
class C:
    def __init__(self): self.lock = Lock()
def make(model): return lambda x: model
#> make(C()) of [1] gives cannot pickle '_thread.lock' object (captured variable 'model.lock')

## a lock in a global object
class C:
    def __init__(self): self.lock = Lock()
model = C()
def f(x): return model
#> f of [1] gives cannot pickle '_thread.lock' object (global 'model.lock')

## a lock in a class
class C:
    lock = Lock()
def f(x): return C
#> f of [1] gives cannot pickle '_thread.lock' object (global 'C.lock')

## a lock deep in a global
CONFIG = {'a': [1, {'lock': Lock()}]}
def f(x): return CONFIG
#> f of [1] gives cannot pickle '_thread.lock' object (global "CONFIG['a'][1]['lock']")

## a lock as a default
def f(x, lock=Lock()): return lock
#> f of [1] gives cannot pickle '_thread.lock' object (argument 'lock')

## a lock as a default by keyword
def f(x, *, lock=Lock()): return lock
#> f of [1] gives cannot pickle '_thread.lock' object (argument 'lock')

## a lock as an attribute of a function
def f(x): return f.lock
f.lock = Lock()
#> f of [1] gives cannot pickle '_thread.lock' object (global 'f.lock')

## a lock in a partial
from functools import partial
def f(lock, x): return lock
#> partial(f, Lock()) of [1] gives cannot pickle '_thread.lock' object

## a queue
import queue
Q = queue.Queue()
def f(x): return Q
#> f of [1] gives cannot pickle '_thread.lock' object (global 'Q.mutex')

## an open file
def make(file): return lambda x: file
#> make(open(__file__)) of [1] gives cannot pickle '_io.TextIOWrapper' object (captured variable 'file')

## an open file of bytes
FILE = open(__file__, 'rb')
def f(x): return FILE
#> f of [1] gives cannot pickle '_io.BufferedReader' object (global 'FILE')

## a raw file
FILE = open(__file__, 'rb', buffering=0)
def f(x): return FILE
#> f of [1] gives cannot pickle '_io.FileIO' object (global 'FILE')

## a socket
import socket
s = socket.socket()
def f(x): return s
#> f of [1] gives cannot pickle 'socket' object (global 's')

## a running generator
numbers = (n for n in range(3))
def f(x): return next(numbers)
#> f of [1] gives cannot pickle 'generator' object (global 'numbers')

## a module made by hand
import types
made = types.ModuleType('made')
def f(x): return made.x
#> f of [1] gives cannot pickle module 'made': nothing can be imported by that name (global 'made')

## an object that fails to pickle
class C:
    def __reduce__(self): raise KeyError('no')
def make(thing): return lambda x: thing
#> make(C()) of [1] gives KeyError: 'no' (captured variable 'thing')
"""


@pytest.mark.parametrize("shape", [unless_missing(name, shape) for name, shape in parse(ERRORS).items()])
def test_an_error_names_what_will_not_pickle(run_script, shape):
    printed = run_script(
        f"""
from threading import Lock, RLock
{shape.source}
import os, pickle
from olympipe_like._transport.callables import ShippingError, pack
try:
    pack({shape.ships})
except ShippingError as error:
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    print(error, flush=True)
os._exit(0)  # open files and sockets would warn
"""
    )

    assert printed == f"{shape.gives}\n"


def test_without_cloudpickle_an_error_says_what_dill_could_not(run_script):
    printed = run_script(
        """
        import sys
        sys.modules["cloudpickle"] = None
        from olympipe_like._transport.callables import ShippingError, pack
        def make(m): return lambda x: m
        try:
            pack(make(memoryview(b"abc")))
        except ShippingError as error:
            print(error.variable, "memoryview" in error.reason, type(error.__cause__).__name__)
        """
    )

    assert printed == "m True TypeError\n"


def test_an_error_keeps_its_fields_through_pickle():
    error = pickle.loads(pickle.dumps(ShippingError("cannot pickle it", "lk", "global")))

    assert (error.reason, error.variable, error.kind) == ("cannot pickle it", "lk", "global")
    assert str(error) == "cannot pickle it (global 'lk')"


def test_an_error_can_be_without_a_variable():
    assert str(pickle.loads(pickle.dumps(ShippingError("cannot pickle it")))) == "cannot pickle it"
