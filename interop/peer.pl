#!/usr/bin/perl
# A Perl node for the tests beside it. Its argument is what `configure` of AnyEvent::MP takes, as a JSON object. Every line on
# standard input is Perl code, run in package main; `ev NAME, VALUE...` writes a JSON array to standard output, on one line.
use strict;
use warnings;

use EV;
use AnyEvent;
use JSON::XS ();
use POSIX ();
use Types::Serialiser ();
use AnyEvent::MP;
use AnyEvent::MP::Kernel;

$| = 1;
$SIG{PIPE} = 'IGNORE';

my $json = JSON::XS->new->ascii->canonical->allow_nonref->allow_unknown->allow_blessed->convert_blessed;
sub ev { print $json->encode ([@_]), "\n" }

# What other nodes may spawn here.

# Every message VALUE..., PORT is answered with VALUE...
sub echo {
   rcv $SELF, sub { my $to = pop; snd $to, @_ };
}

# Takes 0, 1, 2 ... in order, and answers the message "end", PORT with how many came and whether in order.
sub counter {
   my ($count, $ordered) = (0, 1);
   rcv $SELF, sub {
      return snd $_[1], $count, $ordered if $_[0] eq "end";
      $ordered = 0 if $_[0] != $count;
      ++$count;
   };
}

sub dying { die "no luck with @_\n" }
sub without_receiver { }

# Takes a data connection: greets, gives back what comes, and ends when the other side does.
my %stream;
sub stream_echo {
   my $handle = pop;
   $stream{$handle} = $handle;
   my $key = "$handle";
   $handle->on_error (sub { ev (stream_error => "$_[2]"); delete $stream{$key}; $_[0]->destroy });
   $handle->on_eof (sub { ev ("stream_eof"); delete $stream{$key}; $_[0]->push_shutdown });
   $handle->on_read (sub { $_[0]->push_write (delete $_[0]{rbuf}) });
   $handle->push_write ("hello @_\n");
}

# Opens a data connection from the Perl side, in a port of its own, and says how it went. ADDRESSES are what this node believes
# to be the addresses of the other one: 2.02 looks them up in a table that nothing fills any more.
sub stream_to {
   my ($node, $addresses, $function, @args) = @_;
   require AnyEvent::MP::DataConn;
   no warnings 'once';
   $AnyEvent::MP::Global::addr{$node} = $addresses if $addresses;
   my $port = port { };
   mon $port, sub { ev (stream_failed => @_) };
   peval $port, sub {
      AnyEvent::MP::DataConn::connect_to ($node, 10, $function, @args, sub {
         my ($handle) = @_;
         $stream{own} = $handle;
         $handle->on_error (sub { ev (stream_error => "$_[2]"); $_[0]->destroy });
         $handle->push_read (line => sub { ev (stream_line => $_[1]) });
         $handle->push_write ("from perl\n");
         $handle->push_read (line => sub { ev (stream_line => $_[1]); delete $stream{own} });
      });
   };
}

# Says every change of a family, the content in front. A global node's own watch forgets what it was told at first (`db_mon` clears
# it after the answer has come), so the content is kept here.
sub watch {
   my %content;
   db_mon $_[0], sub {
      my ($family, @lists) = @_;
      $content{$_} = $family->{$_} for map @$_, @lists[0, 1];
      delete @content{@{ $lists[2] }};
      ev (told => \%content, map [sort @$_], @lists);
   };
}

mon_nodes sub {
   my ($node, $up, @reason) = @_;
   ev ($up ? "up" : "down", $node, @reason);
};

configure norc => 1, %{ $json->decode ($ARGV[0]) };
ev ready => $NODE, $AnyEvent::MP::Kernel::BINDS;

my $input = "";
my $reader = AE::io *STDIN, 0, sub {
   my $read = sysread STDIN, $input, 65536, length $input;
   POSIX::_exit (0) if defined $read && !$read;
   while ($input =~ s/^(.*)\n//) {
      my $code = $1;
      eval "no strict; no warnings; $code; 1" or ev (failed => "$@", $code);
   }
};

EV::run;
