%% Erlang/OTP: the same workloads. erl ... -run bench main WORKLOAD COUNT, with the system in the variable SYSTEM
-module(bench).
-behaviour(gen_server).
-export([main/1, init/1, handle_call/3, handle_cast/2]).
-export([sink/3, echo/0, rsink/2, recho/0, rbig/3]).
-define(PAIRS, 1000).
-define(BATCH, 10000).
-define(R3_BYTES, 65536).
-define(R3_WINDOW, 1024).
-define(R3_ACK, 256).

main([W, Ns]) ->
    N = list_to_integer(Ns),
    spawn(fun() -> timer:sleep(1000 * list_to_integer(os:getenv("BENCH_TIMEOUT", "120"))), halt(99) end),
    Me = self(),
    %% not in the init process
    spawn_opt(fun() -> run(W, N), Me ! done end, []),
    receive done -> halt(0) end.

opts() ->
    case os:getenv("SYSTEM") of
        "erlang-offheap" -> [{message_queue_data, off_heap}];
        _ -> []
    end.
sys() -> case os:getenv("SYSTEM") of false -> "erlang"; S -> S end.

%% ---- local
run(W, N) when W =:= "l1"; W =:= "l1x4"; W =:= "l1pairs" ->
    {Pairs, Prods} = case W of "l1" -> {1, 1}; "l1x4" -> {1, 4}; _ -> {?PAIRS, 1} end,
    Per = N div Pairs div Prods,
    Me = self(),
    Sinks = [spawn_opt(?MODULE, sink, [Per * Prods, 0, Me], opts()) || _ <- lists:seq(1, Pairs)],
    T = t(),
    [spawn(fun() -> produce(S, Per) end) || S <- Sinks, _ <- lists:seq(1, Prods)],
    [receive {sum, _} -> ok end || _ <- Sinks],
    report(W, N, T, []);
run(W, N) when W =:= "l2"; W =:= "l2pairs" ->
    Pairs = case W of "l2" -> 1; _ -> ?PAIRS end,
    Per = N div Pairs,
    Me = self(),
    T = t(),
    [begin
         E = spawn(?MODULE, echo, []),
         spawn(fun() -> ping(E, Per), E ! stop, Me ! finished end)
     end || _ <- lists:seq(1, Pairs)],
    [receive finished -> ok end || _ <- lists:seq(1, Pairs)],
    report(W, N, T, []);
run("l3", N) ->
    T = t(),
    l3(N div ?BATCH),
    report("l3", N, T, []);
run("l3mem", N) ->
    R0 = rss("VmRSS"),
    T = t(),
    Ps = [spawn(?MODULE, echo, []) || _ <- lists:seq(1, N)],
    D = erlang:monotonic_time() - T,
    timer:sleep(500),
    B = (rss("VmRSS") - R0) * 1024 / N,
    hd(Ps) ! stop,
    out("l3mem", N, secs(D), B, []);
run("l4", N) ->
    case sys() of
        "erlang-raw" ->
            E = spawn(?MODULE, echo, []),
            T = t(),
            raw(E, N),
            report("l4", N, T, []);
        _ ->
            {ok, G} = gen_server:start(?MODULE, [], []),
            T = t(),
            calls(G, N),
            report("l4", N, T, [])
    end;
%% ---- remote
run("r1", N) ->
    Node = peer(),
    S = spawn(Node, ?MODULE, rsink, [N, self()]),
    pong = net_adm:ping(Node),
    T = t(),
    rproduce(S, N),
    receive {got, N} -> ok end,
    report("r1", N, T, []);
run("r2", N) ->
    Node = peer(),
    S = spawn(Node, ?MODULE, recho, []),
    pong = net_adm:ping(Node),
    T = t(),
    L = rping(S, N, []),
    Secs = secs(erlang:monotonic_time() - T),
    A = list_to_tuple(lists:sort(L)),
    P = fun(Q) -> erlang:convert_time_unit(element(1 + trunc((N - 1) * Q), A), native, nanosecond) / 1000 end,
    out("r2", N, Secs, N / Secs, [{p50_us, P(0.5)}, {p99_us, P(0.99)}, {p999_us, P(0.999)}]);
run("r3", N) ->
    Node = peer(),
    S = spawn(Node, ?MODULE, rbig, [0, 0, self()]),
    pong = net_adm:ping(Node),
    Bin = binary:copy(<<7>>, ?R3_BYTES),
    T = t(),
    K = rbigs(S, Bin, 0, 0, N, T),
    S ! {'end', K},
    receive {got, K} -> ok end,
    Secs = secs(erlang:monotonic_time() - T),
    out("r3", K, Secs, K * ?R3_BYTES / 1.0e6 / Secs, []).

produce(_, 0) -> ok;
produce(S, N) -> S ! {1, N}, produce(S, N - 1).
sink(0, Sum, Me) -> Me ! {sum, Sum};
sink(N, Sum, Me) -> receive {1, V} -> sink(N - 1, Sum + V, Me) end.
echo() -> receive {From, V} -> From ! {2, V}, echo(); stop -> ok end.
ping(_, 0) -> ok;
ping(E, N) -> E ! {self(), N}, receive {2, N} -> ping(E, N - 1) end.
raw(_, 0) -> ok;
raw(E, N) -> R = make_ref(), E ! {self(), R}, receive {2, R} -> raw(E, N - 1) end.
calls(_, 0) -> ok;
calls(G, N) -> M = N + 1, M = gen_server:call(G, {ask, N}), calls(G, N - 1).
l3(0) -> ok;
l3(K) ->
    Ps = [spawn_monitor(?MODULE, echo, []) || _ <- lists:seq(1, ?BATCH)],
    [P ! stop || {P, _} <- Ps],
    [receive {'DOWN', _, process, _, _} -> ok end || _ <- Ps],
    l3(K - 1).
init([]) -> {ok, 0}.
handle_call({ask, V}, _, S) -> {reply, V + 1, S}.
handle_cast(_, S) -> {noreply, S}.

%% a second node, of this same erl, on loopback; it ends with this one
peer() ->
    {ok, _, Node} = peer:start_link(#{name => peer:random_name(), host => "127.0.0.1", longnames => true,
        args => ["-pa", filename:dirname(code:which(?MODULE)), "-setcookie", atom_to_list(erlang:get_cookie()),
                 "-kernel", "inet_dist_use_interface", "{127,0,0,1}", "+zdbbl", os:getenv("ZDBBL", "1024")]
            ++ case sys() of "erlang-nospin" -> ["+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"]; _ -> [] end}),
    Node.
rproduce(S, 0) -> S ! {2, 0};
rproduce(S, N) -> S ! {1, N}, rproduce(S, N - 1).
rsink(N, Me) -> rsink(N, 0, 0, Me).
rsink(N, K, Sum, Me) ->
    receive
        {1, V} -> rsink(N, K + 1, Sum + V, Me);
        {2, 0} -> Me ! {got, K}
    end.
recho() -> receive {From, V} -> From ! {2, V}, recho() end.
rping(_, 0, L) -> L;
rping(S, N, L) ->
    T = erlang:monotonic_time(),
    S ! {self(), N},
    receive {2, N} -> ok end,
    rping(S, N - 1, [erlang:monotonic_time() - T | L]).
rbigs(_, _, N, _, N, _) -> N;
rbigs(S, Bin, K, Acked, N, T) when K - Acked >= ?R3_WINDOW ->
    receive {ack, C} -> rbigs(S, Bin, K, C, N, T) end;
rbigs(S, Bin, K, Acked, N, T) ->
    S ! {1, Bin},
    case K rem 64 =:= 0 andalso secs(erlang:monotonic_time() - T) >= 20 of
        true -> K + 1;
        false -> rbigs(S, Bin, K + 1, Acked, N, T)
    end.
rbig(K, Sum, Me) ->
    receive
        {1, <<_, B, _/binary>>} ->
            if (K + 1) rem ?R3_ACK =:= 0 -> Me ! {ack, K + 1}; true -> ok end,
            rbig(K + 1, Sum + B, Me);
        {'end', _} -> Me ! {got, K}
    end.

t() -> erlang:monotonic_time().
secs(D) -> erlang:convert_time_unit(D, native, nanosecond) / 1.0e9.
rss(Key) ->
    {ok, B} = file:read_file("/proc/self/status"),
    {match, [V]} = re:run(B, Key ++ ":\\s+(\\d+)", [{capture, [1], list}]),
    list_to_integer(V).
%% user and system time (statistics(runtime) has the user time only), from 100 Hz ticks
cpu() ->
    {ok, B} = file:read_file("/proc/self/stat"),
    [_, Rest] = string:split(B, ") ", trailing),
    F = string:lexemes(Rest, " "),
    (binary_to_integer(lists:nth(12, F)) + binary_to_integer(lists:nth(13, F))) / 100.
report(W, N, T, X) ->
    S = secs(erlang:monotonic_time() - T),
    out(W, N, S, N / S, X).
out(W, N, Secs, Per, X0) ->
    X = [{peak_rss_mb, rss("VmHWM") / 1024}, {cpu_s, cpu()} | X0],
    Xs = lists:join(",", [io_lib:format("\"~s\":~.2f", [K, V * 1.0]) || {K, V} <- X]),
    io:format("{\"system\":\"~s\",\"workload\":\"~s\",\"count\":~b,\"seconds\":~.6f,\"figure\":~.1f,\"extra\":{~s}}~n",
              [sys(), W, N, Secs, Per * 1.0, Xs]).
